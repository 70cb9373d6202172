"""`trial`, run as a CI step runs it: a real process, real git, real signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from expci.core.model.content import Blob
from support.clones import Clone, assert_untouched, make_clone, run_git
from support.processes import HANG_S, is_alive, wait_for


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = make_clone(tmp_path)
    made.publish()
    return made


def with_spec(tmp_path: Path, keys: str) -> Clone:
    made = make_clone(tmp_path, keys)
    made.publish()
    return made


def by_arm(clone: Clone) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for trial in clone.arrived():
        found.setdefault(trial.arm, []).append(trial.status)
    return found


def test_a_pair_runs_both_contents_and_arrives_and_leaves_nothing_behind(clone: Clone) -> None:
    before = clone.state()
    done = clone.expci("trial", "faster", "--pairs", "4", "--metric", "size_kb=3")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["control"] * 4 + ["treatment"] * 4
    trials = clone.arrived()
    assert len(trials) == 8
    blocks = {trial.block for trial in trials}
    assert len(blocks) == 4
    for block in blocks:
        pair = [trial for trial in trials if trial.block == block]
        assert {(t.arm, t.order) for t in pair} in (
            {("control", 1), ("treatment", 2)},
            {("treatment", 1), ("control", 2)},
        )
        assert len({trial.unit for trial in pair}) == 1
    # AB/BA in blocks of two pairs: control is first in exactly half of four pairs.
    assert sum(t.order == 1 for t in trials if t.arm == "control") == 2
    assert {t.metrics["size_kb"] for t in trials} == {3.0}
    assert all(t.metrics["success"] == 1 and t.metrics["duration_s"] > 0 for t in trials)
    assert_untouched(before, clone)


def test_the_measures_are_those_of_the_operating_system(tmp_path: Path) -> None:
    clone = make_clone(tmp_path)
    work = "x = bytearray(120_000_000); import time; e = time.process_time() + 0.3\n"
    work += "while time.process_time() < e: pass\ntime.sleep(0.3)"
    clone.publish()
    done = clone.expci("trial", "faster", "--arm", "control", "--", "python3", "-S", "-c", work)
    assert done.returncode == 0, done.stderr
    [trial] = clone.arrived()
    assert 120 <= trial.metrics["max_rss_mb"] < 160
    assert 0.3 <= trial.metrics["cpu_s"] < 0.9
    assert trial.metrics["duration_s"] >= 0.3 + 0.3
    assert trial.context["assignment"] == "forced"


def test_the_command_sees_its_trial_and_no_tokens(clone: Clone) -> None:
    secrets = dict.fromkeys(
        ("EXPCI_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "ACTIONS_RUNTIME_TOKEN"), "secret-value"
    )
    secrets |= {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret-value", "INPUT_TOKEN": "secret-value"}
    foreign = {"GIT_DIR": "/nowhere", "NPM_TOKEN": "theirs", "GITHUB_RUN_ID": "77"}
    done = clone.expci("trial", "faster", "--", "env", env={**secrets, **foreign, "MODE": "slow"})
    # GIT_DIR points elsewhere, as in a hook: our git calls must not follow it.
    assert done.returncode == 0, done.stderr
    assert "secret-value" not in done.stdout
    assert "GIT_DIR" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines.count("EXPCI_EXPERIMENT=faster") == 2
    assert lines.count("EXPCI_UNIT=run-77") == 2
    assert {"EXPCI_ARM=control", "EXPCI_ARM=treatment", "MODE=fast", "MODE=slow"} <= set(lines)
    assert "NPM_TOKEN=theirs" in lines


def test_control_decides_the_exit_code_and_failures_are_recorded(clone: Clone) -> None:
    fails = 'test "$EXPCI_ARM" = control || exit 3'
    assert clone.expci("trial", "faster", "--", "sh", "-c", fails).returncode == 0
    assert by_arm(clone) == {"control": ["ok"], "treatment": ["failed"]}
    broken = ("trial", "faster", "--", "sh", "-c", "exit 7")
    assert clone.expci(*broken).returncode == 7
    assert clone.expci(*broken[:2], "--no-propagate", *broken[2:]).returncode == 0
    failed = [trial for trial in clone.arrived() if trial.status == "failed"]
    assert {trial.metrics["success"] for trial in failed} == {0.0}


def test_a_script_stops_at_its_first_failure(tmp_path: Path) -> None:
    clone = with_spec(tmp_path, "run: |\n  false\n  echo went on")
    done = clone.expci("trial", "faster")
    assert done.returncode == 1
    assert "went on" not in done.stdout


def test_a_command_that_is_not_there_is_an_error_not_a_failure(clone: Clone) -> None:
    done = clone.expci("trial", "faster", "--", "no-such-command")
    assert done.returncode == 127
    assert "no-such-command could not be run" in done.stderr
    assert {status for all_ in by_arm(clone).values() for status in all_} == {"error"}
    assert all(not trial.metrics for trial in clone.arrived())


def test_a_timeout_ends_the_whole_process_group(tmp_path: Path) -> None:
    clone = with_spec(
        tmp_path,
        "run: sh -c 'sleep 3000 & echo $! > $PIDS; trap \"\" TERM; wait; sleep 3000'\ntimeout: 3s",
    )
    before = clone.state()
    pids = tmp_path / "pids"
    done = clone.expci("trial", "faster", "--arm", "control", env={"PIDS": str(pids)})
    assert done.returncode == 124
    assert not is_alive(int(pids.read_text()))
    [trial] = clone.arrived()
    assert trial.status == "timeout"
    assert trial.metrics["duration_s"] == 3.0
    assert trial.metrics["success"] == 0.0
    assert_untouched(before, clone)


def test_what_the_command_leaves_running_is_ended(clone: Clone, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = f"sleep 3000 & echo $! > {pids}"
    done = clone.expci("trial", "faster", "--arm", "control", "--", "sh", "-c", command)
    assert done.returncode == 0
    assert not is_alive(int(pids.read_text()))


@pytest.mark.parametrize(
    ("number", "code", "where"),
    [
        (signal.SIGINT, 130, "worktree"),
        (signal.SIGTERM, 143, "worktree"),
        (signal.SIGINT, 130, "in place"),
    ],
)
def test_a_signal_cancels_the_trial_and_restores_everything(
    clone: Clone, tmp_path: Path, number: int, code: int, where: str
) -> None:
    before = clone.state()
    started = tmp_path / "started"
    options = ["--in-place"] if where == "in place" else []
    command = f"echo $$ > {started}.new; mv {started}.new {started}; sleep 3000"
    process = clone.popen("trial", "faster", *options, "--", "sh", "-c", command)
    wait_for(started.exists)
    process.send_signal(number)
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == code, errors
    assert not is_alive(int(started.read_text()))
    assert [trial.status for trial in clone.arrived()] == ["cancelled"]
    assert clone.arrived()[0].metrics == {}
    assert_untouched(before, clone)


def test_after_kill_9_the_next_call_cleans_up_and_loses_no_record(
    clone: Clone, tmp_path: Path
) -> None:
    before = clone.state()
    mark = tmp_path / "second"
    # The first run of the pair ends; the second hangs and the runner is killed.
    command = (
        f"test -e {mark}.first && {{ echo $$ > {mark}; exec sleep 3000; }}; touch {mark}.first"
    )
    process = clone.popen("trial", "faster", "--", "sh", "-c", command)
    wait_for(lambda: mark.exists() and mark.read_text().strip())
    process.kill()
    process.wait(timeout=HANG_S)
    orphan = int(mark.read_text())
    assert is_alive(orphan)
    assert clone.arrived() == []
    assert list((tmp_path / "tmp").glob("expci-trial-*"))
    done = clone.expci("trial", "faster")
    assert done.returncode == 0, done.stderr
    # What the killed run left running would disturb the next measurement.
    assert not is_alive(orphan)
    process.communicate(timeout=HANG_S)
    assert len(clone.arrived()) == 1 + 2
    assert_untouched(before, clone)


def test_in_place_after_kill_9_the_next_call_gives_the_files_back(
    clone: Clone, tmp_path: Path
) -> None:
    clone.write({"other.txt": "not committed\n"})
    before = clone.state()
    mark = tmp_path / "mark"
    command = f'test "$EXPCI_ARM" = control && exit; echo $$ > {mark}; exec sleep 3000'
    process = clone.popen("trial", "faster", "--in-place", "--", "sh", "-c", command)
    wait_for(lambda: mark.exists() and mark.read_text().strip())
    assert (clone.root / "tool.sh").read_text() == "echo treatment\n"
    process.kill()
    process.wait(timeout=HANG_S)
    orphan = int(mark.read_text())
    assert is_alive(orphan)
    done = clone.expci("trial", "faster", "--in-place")
    assert "your files were put back" in done.stderr
    assert done.returncode == 0, done.stderr
    assert not is_alive(orphan)
    process.communicate(timeout=HANG_S)
    assert_untouched(before, clone)


def test_in_place_keeps_inode_and_times_and_refuses_dirty_files(clone: Clone) -> None:
    before = clone.state()
    stat = (clone.root / "tool.sh").stat()
    done = clone.expci("trial", "faster", "--pairs", "2", "--in-place")
    assert sorted(done.stdout.split()) == ["control"] * 2 + ["treatment"] * 2
    after = (clone.root / "tool.sh").stat()
    assert (after.st_ino, after.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    assert_untouched(before, clone)
    clone.write({"tool.sh": "echo mine\n"})
    done = clone.expci("trial", "faster", "--in-place")
    assert done.returncode == 1
    assert "tool.sh has changes that are not committed" in done.stderr
    assert (clone.root / "tool.sh").read_text() == "echo mine\n"


def test_dirty_staged_and_stashed_work_is_not_touched(clone: Clone) -> None:
    clone.write({"other.txt": "stashed\n"})
    run_git(clone.root, "stash", "-q")
    clone.write({"tool.sh": "echo mine\n", "new file.txt": "untracked\n", "staged": "x\n"})
    run_git(clone.root, "add", "staged")
    run_git(clone.root, "checkout", "-q", "--detach")
    before = clone.state()
    done = clone.expci("trial", "faster")
    assert sorted(done.stdout.split()) == ["control", "treatment"]
    assert_untouched(before, clone)


def test_hooks_of_the_user_do_not_run(clone: Clone, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for name in ("post-checkout", "pre-push", "reference-transaction", "post-index-change"):
        hook = clone.root / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\necho {name} >> {ran}\nexit 1\n")
        hook.chmod(0o755)
    assert clone.expci("trial", "faster").returncode == 0
    assert len(clone.arrived()) == 2
    assert not ran.exists()


def test_a_linked_worktree(clone: Clone, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    run_git(clone.root, "worktree", "add", "-q", "-b", "side", str(linked))
    before = clone.state()
    there = Clone(linked, clone.origin, environment=clone.environment)
    for options in ([], ["--in-place"]):
        assert there.expci("trial", "faster", *options).returncode == 0
    assert len(clone.arrived()) == 4
    assert_untouched(before, clone)
    assert run_git(linked, "status", "--porcelain") == ""


@pytest.mark.parametrize("kind", ["shallow", "sparse", "blob-less"])
def test_partial_clones(clone: Clone, tmp_path: Path, kind: str) -> None:
    run_git(clone.origin, "config", "uploadpack.allowFilter", "true")
    run_git(clone.origin, "config", "uploadpack.allowAnySHA1InWant", "true")
    options = {"shallow": ["--depth=1"], "sparse": [], "blob-less": ["--filter=blob:none"]}[kind]
    root = tmp_path / kind
    run_git(tmp_path, "clone", "-q", *options, clone.origin.as_uri(), str(root))
    if kind == "sparse":
        run_git(root, "sparse-checkout", "set", "experiments/other")
        assert not (root / "experiments/faster").exists()
    there = Clone(root, clone.origin, environment=clone.environment)
    before = there.state()
    # The tool also needs a file that the sparse checkout lacks.
    done = there.expci("trial", "faster", "--", "sh", "-c", ". ./tool.sh; cat experiments/*/*.yml")
    assert done.returncode == 0, done.stderr
    assert len(clone.arrived()) == 2
    assert "control\n" in done.stdout
    assert "treatment\n" in done.stdout
    assert_untouched(before, there)


def test_setup_runs_once_an_arm_and_warm_up_is_discarded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    keys = f"""\
setup: echo setup $EXPCI_ARM >> {log}
run: echo run $EXPCI_ARM >> {log}
warmup: 2
share: [cache]"""
    clone = with_spec(tmp_path, keys)
    clone.write({".gitignore": "cache\n", "cache/blob": "x\n"})
    clone.commit()
    clone.publish()
    before = clone.state()
    done = clone.expci("trial", "faster", "--pairs", "2")
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    assert sorted(lines[:6]) == sorted(
        ["setup control", "setup treatment"] + ["run control", "run treatment"] * 2
    )
    assert len(lines) == 6 + 4
    assert len(clone.arrived()) == 4
    done = clone.expci("trial", "faster", "--", "cat", "cache/blob")
    assert done.stdout == "x\n" * (2 * 2 + 2)  # two warm-ups and a run for each arm
    assert_untouched(before, clone)


def test_a_failed_setup_is_an_error_of_that_arm(tmp_path: Path) -> None:
    clone = with_spec(tmp_path, "setup: test $EXPCI_ARM = control\nrun: sh tool.sh")
    done = clone.expci("trial", "faster", "--pairs", "3")
    assert done.returncode == 1
    assert "setup of arm treatment ended with code 1" in done.stderr
    assert by_arm(clone) == {"treatment": ["error"]}


def test_an_arm_that_is_restored_during_the_run_is_not_counted(clone: Clone) -> None:
    # As claude-code-action does with its own files on pull requests.
    done = clone.expci("trial", "faster", "--", "git", "checkout", "-q", "HEAD", "--", "tool.sh")
    assert done.returncode == 1
    assert "tool.sh did not hold the arm's content" in done.stderr
    exposed = {trial.arm: (trial.status, trial.excluded) for trial in clone.arrived()}
    assert exposed == {"control": ("ok", None), "treatment": ("error", "not_exposed")}


HOSTILE = {
    "huge": ("head -c 100000000 /dev/zero > $EXPCI_METRICS", "larger than 64 KB"),
    "nan": ("echo score=nan > $EXPCI_METRICS", "metric score must be finite"),
    "infinity": ("""echo '{"score": 1e999}' > $EXPCI_METRICS""", "metric score must be finite"),
    "boolean": ("""echo '{"score": true}' > $EXPCI_METRICS""", "must be a number"),
    "link": ("ln -sf /etc/passwd $EXPCI_METRICS", "cannot be read"),
    "pipe": ("rm $EXPCI_METRICS; mkfifo $EXPCI_METRICS", "not a regular file"),
    "directory": ("rm $EXPCI_METRICS; mkdir -p $EXPCI_METRICS/x", "not a regular file"),
    "built-in": ("echo duration_s=0.001 > $EXPCI_METRICS", "measured by expci"),
    "deep": ("""python3 -c "print('{\\"a\\":'*30000)" > $EXPCI_METRICS""", "ignored"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_metrics_file_costs_the_metric_not_the_trial(clone: Clone, kind: str) -> None:
    command, complaint = HOSTILE[kind]
    done = clone.expci("trial", "faster", "--", "sh", "-c", f"{command}; true")
    assert done.returncode == 0, done.stderr
    assert complaint in done.stderr
    trials = clone.arrived()
    assert [trial.status for trial in trials] == ["ok", "ok"]
    assert all(
        trial.metrics.keys() <= {"duration_s", "success", "cpu_s", "max_rss_mb"} for trial in trials
    )


def test_metrics_of_the_command_arrive(clone: Clone) -> None:
    text = "tokens=12.5\\n\\nscore = -3e2\\nbad=x\\n"
    done = clone.expci("trial", "faster", "--", "sh", "-c", f"printf '{text}' > $EXPCI_METRICS")
    assert "bad must be a number" in done.stderr
    for trial in clone.arrived():
        assert (trial.metrics["tokens"], trial.metrics["score"]) == (12.5, -300.0)
        assert "bad" not in trial.metrics


def test_names_and_modes_that_shells_trip_over(tmp_path: Path) -> None:
    clone = make_clone(tmp_path)
    odd = ["with space/a 'quoted' \"name\".sh", "ünï/日本.sh", "-rf", "$(id)", "[a]*?.txt"]
    clone.write(dict.fromkeys(odd, "echo base\n"))
    clone.write(
        {f"experiments/faster/treatment/{path}": "echo varied\n" for path in odd}, executable=True
    )
    clone.commit()
    clone.publish()
    before = clone.state()
    listing = "find . -name .git -prune -o -path ./experiments -prune -o -type f -perm -100 -print"
    for options in ([], ["--in-place"]):
        done = clone.expci(
            "trial", "faster", "--arm", "treatment", *options, "--", "sh", "-c", listing
        )
        assert done.returncode == 0, done.stderr
        assert sorted(done.stdout.splitlines()) == sorted(f"./{path}" for path in odd)
        assert_untouched(before, clone)


def test_patch_and_deletion_arms(tmp_path: Path) -> None:
    clone = make_clone(tmp_path)
    spec = clone.root / "experiments/faster/experiment.yml"
    spec.write_text(
        spec.read_text().replace("files: treatment/", "patch: it.patch\n    delete: [other.txt]")
    )
    patch = "--- a/tool.sh\n+++ b/tool.sh\n@@ -1 +1 @@\n-echo control\n+echo patched\n"
    clone.write({"experiments/faster/it.patch": patch, "dir/only": "x\n"})
    run_git(clone.root, "rm", "-rq", "experiments/faster/treatment")
    clone.commit()
    clone.publish()
    before = clone.state()
    show = "sh tool.sh; test -e other.txt && echo there || echo gone"
    for options in ([], ["--in-place"]):
        done = clone.expci("trial", "faster", *options, "--", "sh", "-c", show)
        assert done.returncode == 0, done.stderr
        pairs = {tuple(done.stdout.split()[i : i + 2]) for i in (0, 2)}
        assert pairs == {("control", "there"), ("patched", "gone")}
        assert_untouched(before, clone)


def test_both_arms_get_the_plan_s_content_where_head_has_moved_on(clone: Clone) -> None:
    clone.write({"tool.sh": "echo newer\n"})
    clone.commit()
    done = clone.expci("trial", "faster")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["control", "treatment"]


def test_content_that_no_reviewed_commit_holds_is_never_run(clone: Clone) -> None:
    # A ref that escapes review names a blob of its own for control's file.
    evil = run_git(clone.root, "hash-object", "-w", "--stdin", stdin=b"echo evil\n").strip()
    clone.publish(paths={"tool.sh": Blob("100644", evil)})
    done = clone.expci("trial", "faster")
    assert done.returncode == 1
    assert "evil" not in done.stdout
    assert "not in this checkout's history" in done.stderr


@pytest.mark.parametrize(
    ("state", "edit", "reason"),
    [
        ("paused", False, "faster is paused"),
        ("running", True, "is not the plan that was started"),
    ],
)
def test_no_part_is_taken_and_the_reason_said(
    clone: Clone, state: str, edit: bool, reason: str
) -> None:
    clone.publish(state=state)
    if edit:
        clone.write({"experiments/faster/treatment/tool.sh": "echo changed\n"})
        clone.commit()
    done = clone.expci("trial", "faster", "--json")
    assert done.returncode == 1
    assert reason in done.stderr
    assert json.loads(done.stdout)["took_part"] is False
    assert clone.arrived() == []


def test_unknown_and_not_started_experiments_say_what_to_do(tmp_path: Path) -> None:
    clone = make_clone(tmp_path)
    assert "expci start faster" in clone.expci("trial", "faster").stderr
    assert "no running experiment 'slower'" in clone.expci("trial", "slower").stderr
    assert clone.expci("trial", "faster", "--pairs", "0").returncode == 2


def test_a_pilot_reads_the_draft_and_stays_here(tmp_path: Path) -> None:
    clone = make_clone(tmp_path)
    clone.write({"experiments/faster/treatment/tool.sh": "echo draft\n"})
    before = clone.state()
    done = clone.expci("trial", "faster", "--pilot", "--pairs", "2", "--json")
    assert done.returncode == 0, done.stderr
    kept = (clone.private / "pilot" / "faster.jsonl").read_text().splitlines()
    assert len(kept) == 4
    assert "draft" in done.stderr  # the command's output makes way for the JSON
    assert json.loads(done.stdout)["kept_in"].endswith("pilot/faster.jsonl")
    assert clone.arrived() == []
    assert_untouched(before, clone)


def test_offline_the_records_wait_and_go_later(clone: Clone) -> None:
    assert clone.expci("trial", "faster").returncode == 0
    away = clone.origin.with_name("away.git")
    clone.origin.rename(away)
    done = clone.expci("trial", "faster")
    assert done.returncode == 0
    assert "Working from what this clone read last" in done.stderr
    assert "2 records wait on this machine" in done.stderr
    away.rename(clone.origin)
    assert len(clone.arrived()) == 2
    done = clone.expci("record", "--flush")
    assert done.returncode == 0, done.stderr
    assert len({trial.id for trial in clone.arrived()}) == 4
    assert list((clone.private / "spool").glob("*/*.*")) == []


def test_a_refused_push_waits_and_says_so(clone: Clone) -> None:
    hook = clone.origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho frozen for maintenance >&2\nexit 1\n")
    hook.chmod(0o755)
    done = clone.expci("trial", "faster")
    assert done.returncode == 0
    assert "refused the push" in done.stderr
    assert clone.expci("record", "--flush").returncode == 1
    hook.unlink()
    assert clone.expci("trial", "faster").returncode == 0
    assert len(clone.arrived()) == 4


def test_while_watching_control_is_what_stood_before_the_promotion(clone: Clone) -> None:
    exposure = clone.publish()
    source = run_git(clone.root, "rev-parse", "HEAD").strip()
    clone.write({"tool.sh": "echo treatment\n"})
    run_git(clone.root, "rm", "-rq", "experiments")
    clone.commit("promote")
    promoted = clone.git.read_paths("HEAD", ["tool.sh"])
    watch = {"state": "watching", "paths": promoted, "source": source}
    clone.publish_all({"faster": type(exposure)(**{**exposure.__dict__, **watch})})
    done = clone.expci("trial", "faster")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["control", "treatment"]
    # A shallow clone does not have the commit before, and says what to do.
    shallow = clone.root.with_name("shallow")
    run_git(clone.root.parent, "clone", "-q", "--depth=1", clone.origin.as_uri(), str(shallow))
    done = Clone(shallow, clone.origin, environment=clone.environment).expci("trial", "faster")
    assert done.returncode == 1
    assert "fetch-depth: 0" in done.stderr
    # One from before the promotion is told so.
    run_git(clone.root, "checkout", "-q", source)
    done = clone.expci("trial", "faster")
    assert done.returncode == 1
    assert "holds what stood before faster was promoted" in done.stderr


def test_the_import_is_light(tmp_path: Path) -> None:
    code = (
        "import sys, expci.runner.__main__; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    clean = make_clone(tmp_path).environment
    done = subprocess.run(
        ["python3", "-S", "-c", code], env=clean, capture_output=True, text=True, check=True
    )
    third_party = {"numpy", "scipy", "yaml", "pydantic", "click", "rich", "msgspec", "github"}
    assert not third_party & set(done.stdout.split())


TOOL_FILE = """run: sh tool.sh
metrics_from:
  - {format: go-bench, path: out/bench.txt}
  - format: claude
    path: claude.json"""


def test_metrics_come_from_the_files_of_other_tools(tmp_path: Path) -> None:
    clone = with_spec(tmp_path, TOOL_FILE)
    work = (
        'mkdir -p out; echo "BenchmarkJoin-2 100 $(cat tool.sh | wc -c) ns/op" > out/bench.txt; '
        'echo \'{"type":"result","total_cost_usd":0.5,"duration_ms":9000}\' > claude.json'
    )
    done = clone.expci("trial", "faster", "--", "sh", "-c", work)
    assert done.returncode == 0, done.stderr
    assert {(t.arm, t.metrics["Join_ns"], t.metrics["cost_usd"]) for t in clone.arrived()} == {
        ("control", len("echo control\n"), 0.5),
        ("treatment", len("echo treatment\n"), 0.5),
    }
    # expci measures the duration itself; the tool's own stands aside.
    assert all(t.metrics["duration_s"] < 9 for t in clone.arrived())


def test_a_file_that_an_earlier_run_left_gives_no_metric(tmp_path: Path) -> None:
    clone = with_spec(
        tmp_path, "run: sh tool.sh\nmetrics_from: [{format: go-bench, path: bench.txt}]"
    )
    work = "test -e bench.txt || echo 'BenchmarkJoin 100 5 ns/op' > bench.txt"
    done = clone.expci("trial", "faster", "--pairs", "2", "--", "sh", "-c", work)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("bench.txt: the run did not write it; it is an earlier run's") == 2
    assert (
        sorted("Join_ns" in trial.metrics for trial in clone.arrived()) == [False] * 2 + [True] * 2
    )


def test_a_file_of_another_shape_costs_the_metric_and_is_named(tmp_path: Path) -> None:
    clone = with_spec(
        tmp_path, "run: sh tool.sh\nmetrics_from: [{format: hyperfine, path: bench.json}]"
    )
    done = clone.expci("trial", "faster", "--", "sh", "-c", "echo '{\"times\": 3}' > bench.json")
    assert done.returncode == 0, done.stderr
    assert "bench.json: no `results` of hyperfine in it: an object with the keys 'times'" in (
        done.stderr
    )
    absent = clone.expci("trial", "faster", "--", "true")
    assert "bench.json: the run wrote no such file" in absent.stderr
    assert len(clone.arrived()) == 4


def rate_limited(tmp_path: Path, failures: int, how: str) -> str:
    """A command whose first `failures` runs of the treatment meet a failing infrastructure."""
    counter = tmp_path / "failures"
    return (
        f"n=$(cat {counter} 2>/dev/null || echo 0); "
        f'if [ "$EXPCI_ARM" = treatment ] && [ "$n" -lt {failures} ]; then '
        f"echo $((n + 1)) > {counter}; {how}; fi"
    )


@pytest.mark.parametrize("how", ["exit 75", 'echo "infra: rate limit (429)" > "$EXPCI_STATUS"'])
def test_a_failure_of_the_infrastructure_repeats_the_pair(
    clone: Clone, tmp_path: Path, how: str
) -> None:
    work = rate_limited(tmp_path, 2, how)
    done = clone.expci(
        *("trial", "faster", "--pairs", "2", "--", "sh", "-c", work),
        env={"EXPCI_RETRY_SECONDS": "0.01"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the round runs again") >= 2
    trials = clone.arrived()
    errors = [trial for trial in trials if trial.status == "error"]
    assert [trial.arm for trial in errors] == ["treatment"] * 2
    reason = "exit code 75" if how == "exit 75" else "rate limit (429)"
    assert {trial.context["infra"] for trial in errors} == {reason}
    assert all(trial.metrics == {} for trial in errors)
    # Two whole pairs besides, none of them made of two attempts.
    whole = {
        block
        for block in {trial.block for trial in trials}
        if sorted(t.arm for t in trials if t.block == block and t.status == "ok")
        == ["control", "treatment"]
    }
    assert len(whole) == 2


def test_an_infrastructure_that_stays_down_ends_the_trial_after_three_repetitions(
    clone: Clone, tmp_path: Path
) -> None:
    done = clone.expci(
        *(
            "trial",
            "faster",
            "--pairs",
            "5",
            "--",
            "sh",
            "-c",
            rate_limited(tmp_path, 99, "exit 75"),
        ),
        env={"EXPCI_RETRY_SECONDS": "0"},
    )
    assert "the infrastructure failed (exit code 75); nothing more is run" in done.stderr
    assert [t.status for t in clone.arrived() if t.arm == "treatment"] == ["error"] * 4
    everywhere = clone.expci(
        *("trial", "faster", "--", "sh", "-c", "exit 75"), env={"EXPCI_RETRY_SECONDS": "0"}
    )
    assert everywhere.returncode == 75


@pytest.mark.parametrize("program", [["-S", "-m", "expci.runner"], ["-m", "expci"]])
def test_what_a_run_states_is_no_command_to_the_runner(clone: Clone, program: list[str]) -> None:
    work = 'echo "infra: ##[set-env name=A]b" > "$EXPCI_STATUS"'
    done = subprocess.run(
        [sys.executable, *program, "trial", "faster", "--", "sh", "-c", work],
        cwd=clone.root,
        env={**clone.environment, "EXPCI_RETRY_SECONDS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the infrastructure failed (## [set-env name=A]b)" in done.stderr
    assert "##[" not in done.stdout + done.stderr


def test_a_signal_ends_the_wait_for_the_infrastructure(clone: Clone) -> None:
    process = clone.popen(
        *("trial", "faster", "--", "sh", "-c", "exit 75"), EXPCI_RETRY_SECONDS="60"
    )
    assert process.stderr is not None
    assert any("runs again in 60 s" in line for line in process.stderr)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 143, errors


def test_conditions_are_recorded_with_each_trial(tmp_path: Path) -> None:
    clone = make_clone(
        tmp_path,
        "run: |\n"
        "  echo 'context.Model: opus-5' > $EXPCI_STATUS\n"
        "  echo 'context.bad name: x' >> $EXPCI_STATUS\n"
        "  printf 'context.tool: a\\001b\\n' >> $EXPCI_STATUS",
    )
    spec = clone.root / "experiments/faster/experiment.yml"
    spec.write_text(spec.read_text().replace("{MODE: fast}", "{EXPCI_CONTEXT_prompt: new}"))
    clone.commit()
    clone.publish()
    stated = {"EXPCI_CONTEXT_CLI": "2.1.197", "EXPCI_CONTEXT_": "x", "EXPCI_CONTEXT_A-B": "x"}
    done = clone.expci("trial", "faster", env={**stated, "EXPCI_CONTEXT_MODEL": "opus-4"})
    assert done.returncode == 0, done.stderr
    for trial in clone.arrived():
        own = {k: v for k, v in trial.context.items() if k.startswith("context_")}
        # What the run itself says goes before what its surroundings say.
        expected = {"context_model": "opus-5", "context_cli": "2.1.197", "context_tool": "ab"}
        if trial.arm == "treatment":
            expected["context_prompt"] = "new"
        assert own == expected


def test_the_model_comes_from_the_tool_s_file(tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / "fixtures/formats/claude_stream.jsonl"
    keys = f"run: cp {file} out.jsonl\nmetrics_from: [{{format: claude, path: out.jsonl}}]"
    clone = with_spec(tmp_path, keys)
    assert clone.expci("trial", "faster").returncode == 0
    for trial in clone.arrived():
        assert trial.context["context_model"] == "claude-opus-4-8[1m]"
        assert trial.context["context_cli_version"] == "2.1.197"
