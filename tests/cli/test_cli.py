"""The command as users meet it: real processes, exit codes, messages that say what to do."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from expci.cli import MODULES, cli
from support.command import expci_command, started_command
from support.processes import wait_for
from support.repositories import Repository, git
from support.specimen import SPEC


def expci(
    directory: Path, *arguments: str, code: int | None = 0, stdin: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    done = expci_command(directory, *arguments, env={**os.environ, **env}, stdin=stdin)
    if code is not None:
        assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def propose(repository: Repository, name: str = "speed", spec: str = SPEC) -> None:
    repository.write(f"experiments/{name}/experiment.yml", spec)
    repository.write(f"experiments/{name}/treatment/work.sh", "sleep 0\n", executable=True)
    repository.commit(f"Propose {name}")


def lines(count: int, ratio: float) -> str:
    """Import lines: `count` pairs, treatment `ratio` times as long."""
    rows = []
    for number in range(count):
        for order, arm in enumerate(("control", "treatment"), 1):
            noise = 1 + 0.02 * ((number * 7 + 3 * order) % 5 - 2)
            duration = 10 * noise * (ratio if arm == "treatment" else 1)
            row: dict[str, object] = {
                "arm": arm,
                "metrics": {"duration_s": duration},
                "block": f"b{number}",
            }
            row |= {"unit": f"b{number}", "order": order if number % 2 else 3 - order}
            rows.append(json.dumps(row))
    return "\n".join(rows) + "\n"


def test_one_experiment_through_every_verb(repository: Repository) -> None:
    path = repository.path
    expci(path, "init", "--pin", "1" * 40)
    again = expci(path, "init", "--pin", "1" * 40)
    assert "wrote" not in again.stdout
    created = expci(
        path,
        *("create", "speed", "--hypothesis", "The new script cuts duration by 15% in 14 days."),
        *("--primary-metric", "duration_s", "--run", "./work.sh", "--file", "work.sh"),
        *("--sample-size", "40"),
    )
    assert "experiments/speed/experiment.yml" in created.stdout
    expci(path, "validate", "speed")
    repository.write("experiments/speed/treatment/work.sh", "sleep 0\n", executable=True)
    pilot = expci(path, "trial", "speed", "--pairs", "2", "--pilot")
    assert "4 pilot trials kept" in pilot.stdout
    plan = json.loads(expci(path, "plan", "speed", "--json").stdout)
    assert plan["schema"] == "expci.plan/1"
    assert plan["sample_size"]["per_arm"] == 40
    assert "speed" in expci(path, "validate", "speed", "--explain").stdout
    repository.commit("Propose")
    repository.push("HEAD:main")
    started = json.loads(expci(path, "start", "speed", "--json").stdout)
    assert started["mode"] == "lab"
    assert json.loads(expci(path, "start", "speed", "--json").stdout)["already"] is True
    arm = expci(path, "assign", "speed", "--unit", "u1", "--explain")
    assert arm.stdout.strip() in ("control", "treatment", "")
    done = json.loads(expci(path, "trial", "speed", "--pairs", "2", "--json").stdout)
    assert done["sent"] == 4
    recorded = json.loads(
        expci(
            path, "record", "speed", "--arm", "control", "--metric", "duration_s=1.5", "--json"
        ).stdout
    )
    trial = recorded["trials"][0]["id"]
    expci(path, "record", "speed", "--trial", trial, "--metric", "satisfaction=0.8")
    # Beyond what a busy machine makes of the two pairs that were run.
    (path / "past.jsonl").write_text(lines(20, 0.1))
    expci(path, "record", "speed", "--from", "past.jsonl")
    expci(path, "record", "speed", "--from", "past.jsonl")
    (path / "past.jsonl").unlink()
    dry = json.loads(expci(path, "auto", "--dry-run", "--json").stdout)
    assert dry["trials_folded"] == {"speed": 4 + 1 + 1 + 40}
    paused = json.loads(expci(path, "pause", "speed", "--why", "lunch", "--json").stdout)
    assert (paused["schema"], paused["after"]) == ("expci.transition/1", "paused")
    expci(path, "resume", "speed")
    expci(path, "extend", "speed", "--days", "3", "--trials", "5")
    passed = expci(path, "--auto")
    assert "speed: promoting" in passed.stdout
    analysis = json.loads(expci(path, "analyze", "speed", "--json", "--check").stdout)
    assert analysis["schema"] == "expci.analysis/1"
    assert analysis["decision"]["verdict"] == "promote"
    assert "| `duration_s` |" in expci(path, "analyze", "speed", "--format", "markdown").stdout
    assert "speed" in expci(path, "status").stdout
    assert json.loads(expci(path, "status", "speed", "--json").stdout)["state"] == "promoting"
    other = expci(path, "promote", "speed", "--arm", "other", code=1)
    assert "speed is promoting the arm treatment. To promote other instead" in other.stderr
    merged = json.loads(expci(path, "promote", "speed", "--merge", "--json").stdout)
    assert (merged["schema"], merged["state"]) == ("expci.promote/1", "watching")
    assert repository.origin_file("work.sh") == "sleep 0"
    rows = list(csv.DictReader(io.StringIO(expci(path, "export", "speed").stdout)))
    assert len(rows) == 45
    assert [row["satisfaction"] for row in rows if row["id"] == trial] == ["0.8"]
    exported = expci(path, "export", "speed", "--format", "jsonl").stdout.splitlines()
    assert len(exported) == 45
    back = expci(path, "rollback", "speed", "--reason", "a hunch", "--force", "--learned", "tea")
    assert "reverted" in back.stdout
    assert repository.origin_file("work.sh") == "sleep 0.01"
    assert "tea" in expci(path, "status", "--all").stdout
    expci(path, "stop", "speed", "--learned", "more tea")
    assert "everything is in order" in expci(path, "fsck").stdout
    expci(path, "doctor")


def test_create_auto_commits_and_starts(repository: Repository) -> None:
    done = expci(
        repository.path,
        *("create", "--hypothesis", "Less sleep cuts duration by 15% in 14 days."),
        *("--primary-metric", "duration_s", "--run", "./work.sh", "--auto", "--json"),
        *("--minimum-effect", "15%"),
    )
    document = json.loads(done.stdout)
    assert document["schema"] == "expci.create/1"
    assert document["id"].startswith("exp-")
    assert document["started"]["experiment"] == document["id"]
    assert repository.git("status", "--porcelain") == ""
    expci(repository.path, "trial", document["id"], "--pairs", "1")


def test_create_auto_commits_nothing_that_could_not_start(repository: Repository) -> None:
    head = repository.git("rev-parse", "HEAD")
    asked = (
        *("create", "same", "--hypothesis", "Less sleep cuts duration by 15% in 14 days."),
        *("--primary-metric", "duration_s", "--run", "./work.sh", "--file", "work.sh", "--auto"),
    )
    done = expci(repository.path, *asked, code=1)
    assert "'work.sh' is the same as in the repository" in done.stderr
    assert "expci start same" in done.stderr
    assert repository.git("rev-parse", "HEAD") == head
    assert repository.git("status", "--porcelain", "-z").startswith("?? experiments/")
    # A change that waits in the work tree is what the copy holds.
    repository.write("work.sh", "sleep 0\n", executable=True)
    started = expci(repository.path, *(word.replace("same", "other") for word in asked))
    assert "other is running" in started.stdout


def test_create_works_offline(repository: Repository) -> None:
    repository.git("remote", "set-url", "origin", "/nowhere")
    asked = ("--hypothesis", "x", "--primary-metric", "duration_s", "--run", "./work.sh")
    assert "wrote" in expci(repository.path, "create", "plane", *asked).stdout


def test_a_demo_leaves_what_is_there_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    assert "not empty" in expci(tmp_path, "demo", "--directory", ".", code=2).stderr


def test_auto_as_an_option_takes_the_options_of_the_verb(repository: Repository) -> None:
    for asked in (("--auto", "--dry-run", "--json"), ("-C", ".", "--auto", "--json", "--dry-run")):
        assert json.loads(expci(repository.path, *asked).stdout)["dry_run"] is True


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("status", "nope"), 1, "nope"),
        (("start", "nope"), 1, "nope"),
        (("start", "spead"), 1, "did you mean 'speed'"),
        (("trial", "nope"), 1, "nope"),
        (("analyze", "nope"), 1, "nope"),
        (("pause", "speed"), 1, "speed"),
        (("validate", "nope"), 1, "nope"),
        (("trial",), 2, "ID"),
        (("extend", "speed", "--days", "x"), 2, "days"),
        (("extend", "speed", "--days", "nan"), 2, "at most"),
        (("extend", "speed", "--days", "1e9"), 2, "at most"),
        (("record", "speed"), 2, ""),
        (("nonsense",), 2, "nonsense"),
        (("status", "--remote", "nowhere"), 1, "nowhere"),
        (("-C", "does/not/exist", "status"), 1, "does/not/exist"),
        (("create", "UPPER", "--hypothesis", "x", "--primary-metric", "time_s"), 2, "UPPER"),
        (("create", "x", "--hypothesis", "x", "--primary-metric", "y"), 2, "--direction"),
    ],
)
def test_bad_input_says_what_to_do_and_changes_nothing(
    repository: Repository, arguments: tuple[str, ...], code: int, word: str
) -> None:
    propose(repository)
    before = git(repository.origin, "for-each-ref")
    done = expci(repository.path, *arguments, code=code)
    assert word in done.stderr + done.stdout
    assert git(repository.origin, "for-each-ref") == before
    assert repository.git("status", "--porcelain") == ""


def test_outside_a_repository(tmp_path: Path) -> None:
    done = expci(tmp_path, "status", code=1)
    assert "git init" in done.stderr


def test_an_empty_repository_has_nothing_to_show(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert expci(tmp_path, "status").stdout
    expci(tmp_path, "auto")
    expci(tmp_path, "fsck")
    expci(tmp_path, "doctor")


def test_github_without_a_token_names_the_line_to_add(repository: Repository) -> None:
    propose(repository)
    expci(repository.path, "start", "speed")
    done = expci(repository.path, "auto", code=None, GITHUB_REPOSITORY="o/r")
    assert "GITHUB_TOKEN: ${{ github.token }}" in done.stderr + done.stdout
    expci(repository.path, "auto", "--forge", "local", GITHUB_REPOSITORY="o/r")
    expci(repository.path, "status", GITHUB_REPOSITORY="o/r")


def test_all_problems_come_in_one_answer(repository: Repository) -> None:
    spec = SPEC.replace("direction: decrease", "direction: sideways").replace(
        "run: ./work.sh", "run: ./work.sh\nprior: 7\nfrobnicate: yes"
    )
    propose(repository, spec=spec)
    done = expci(repository.path, "validate", code=1)
    for word in ("sideways", "prior", "frobnicate"):
        assert word in done.stdout
    assert done.stdout.count("experiments/speed/experiment.yml:") >= 3
    refused = expci(repository.path, "start", "speed", code=1)
    assert "nothing was started" in refused.stderr
    assert "expci" not in git(repository.origin, "for-each-ref")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('{"arm":"control","metrics":{"duration_s":NaN}}', "NaN"),
        ('{"arm":"control","metrics":{"duration_s":true}}', "number"),
        ('{"arm":"ghost","metrics":{"duration_s":1}}', "ghost"),
        ('{"arm":"control","metrics":{"duration_s":1e999}}', "finite"),
        ("{", "JSON"),
    ],
)
def test_an_import_with_one_bad_line_imports_nothing(
    repository: Repository, line: str, word: str
) -> None:
    propose(repository)
    expci(repository.path, "start", "speed")
    good = lines(2, 0.5)
    done = expci(repository.path, "record", "speed", "--from", "-", code=1, stdin=good + line)
    assert word in done.stderr
    assert "line 5" in done.stderr
    assert "inbox" not in git(repository.origin, "for-each-ref")


def test_a_failed_run_that_measured_nothing_is_imported(repository: Repository) -> None:
    propose(repository)
    expci(repository.path, "start", "speed")
    failed = '{"arm":"treatment","status":"failed"}\n'
    expci(repository.path, "record", "speed", "--from", "-", stdin=failed)
    exported = expci(repository.path, "export", "speed", "--format", "jsonl").stdout
    assert json.loads(exported)["metrics"] == {"success": 0}


def test_parquet_goes_to_a_file_or_a_pipe(repository: Repository, tmp_path: Path) -> None:
    path = repository.path
    propose(repository)
    expci(path, "start", "speed")
    expci(path, "record", "speed", "--from", "-", stdin=lines(3, 0.5))
    before = expci(path, "export", "speed", "--format", "jsonl").stdout
    expci(path, "export", "speed", "--format", "parquet", "--output", "out.parquet")
    script = f"{sys.executable} -m expci export speed --format parquet > piped.parquet"
    subprocess.run(["sh", "-c", script], cwd=path, check=True)
    assert (path / "piped.parquet").read_bytes() == (path / "out.parquet").read_bytes()
    assert "6 recorded" in expci(path, "record", "speed", "--from", "out.parquet").stdout
    assert expci(path, "export", "speed", "--format", "jsonl").stdout == before
    bare = [sys.executable, "-m", "expci.runner", "record", "speed", "--from", "out.parquet"]
    refused = subprocess.run(bare, cwd=path, capture_output=True, text=True)
    assert (refused.returncode, "only the installed" in refused.stderr) == (1, True)


def test_without_the_library_of_parquet_nothing_is_written(
    repository: Repository, tmp_path: Path
) -> None:
    path = repository.path
    propose(repository)
    expci(path, "start", "speed")
    (tmp_path / "pyarrow.py").write_text("raise ImportError\n")
    (path / "out.parquet").write_text("kept")
    # A started process: a forked one has the library.
    words = ("export", "speed", "--format", "parquet", "--output", "out.parquet")
    done = subprocess.run(
        [sys.executable, "-m", "expci", *words],
        cwd=path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "pip install pyarrow" in done.stderr
    assert (path / "out.parquet").read_text() == "kept"
    assert not list(path.glob(".out.parquet*"))


def test_check_exits_with_three_on_harm(repository: Repository) -> None:
    propose(repository)
    expci(repository.path, "start", "speed")
    expci(repository.path, "record", "speed", "--from", "-", stdin=lines(15, 2.0))
    expci(repository.path, "analyze", "speed", "--check", code=3)
    expci(repository.path, "analyze", "speed")


def test_a_trial_exits_as_its_command_did(repository: Repository) -> None:
    propose(repository, spec=SPEC.replace("run: ./work.sh", 'run: "exit 7"'))
    expci(repository.path, "start", "speed")
    expci(repository.path, "trial", "speed", code=7)
    expci(repository.path, "trial", "speed", "--no-propagate", code=0)
    done = expci(repository.path, "export", "speed", "--format", "jsonl", code=None)
    assert done.returncode == 0


def test_thirty_two_recorders_at_once_all_arrive(repository: Repository) -> None:
    propose(repository)
    expci(repository.path, "start", "speed")
    command = ("record", "speed", "--arm", "control")
    values = [("--unit", f"u{n}", "--metric", f"duration_s={n + 1}") for n in range(32)]
    running = [started_command(repository.path, *command, *value) for value in values]
    done = [process.wait() for process in running]
    assert [one.returncode for one in done] == [0] * 32
    # Whoever sends takes along what the others keep: for none of them anything waits.
    assert all(re.match(r"1 recorded, \d+ sent\n", one.stdout) for one in done), done
    assert git(repository.origin, "for-each-ref", "refs/expci/inbox").count("\n") == 31
    expci(repository.path, "auto")
    exported = expci(repository.path, "export", "speed", "--format", "jsonl").stdout
    units = {json.loads(line)["unit"] for line in exported.splitlines()}
    assert units == {f"u{number}" for number in range(32)}
    assert git(repository.origin, "for-each-ref", "refs/expci/inbox") == ""


def test_a_trial_that_is_killed_leaves_the_checkout_and_the_next_one_clean(
    repository: Repository,
) -> None:
    spec = SPEC.replace("run: ./work.sh", "run: touch started && sleep 3000")
    propose(repository, spec=spec)
    expci(repository.path, "start", "speed")
    before = repository.git("status", "--porcelain"), repository.git("stash", "list")
    process = subprocess.Popen(
        [sys.executable, "-m", "expci", "trial", "speed"], cwd=repository.path
    )
    wait_for(lambda: len(repository.git("worktree", "list").splitlines()) > 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (repository.git("status", "--porcelain"), repository.git("stash", "list")) == before
    expci(repository.path, "trial", "speed", "--arm", "control", "--", "true")
    assert len(repository.git("worktree", "list").splitlines()) == 1
    expci(repository.path, "auto")


def test_offline_trials_wait_and_go_with_the_next_verb(repository: Repository) -> None:
    propose(repository)
    expci(repository.path, "start", "speed")
    away = repository.origin.with_name("away")
    repository.origin.rename(away)
    done = expci(repository.path, "trial", "speed", "--", "true")
    assert "wait" in done.stdout + done.stderr
    expci(repository.path, "record", "--flush", code=1)
    away.rename(repository.origin)
    expci(repository.path, "auto")
    exported = expci(repository.path, "export", "speed", "--format", "jsonl").stdout
    assert len(exported.splitlines()) == 2


def test_names_with_shell_and_markup_in_them_stay_text(repository: Repository) -> None:
    name = "$(touch pwned) <script>@octocat</script> #1 `rm -rf`"
    propose(repository, spec=SPEC.replace("name: Faster work", f"name: '{name}'"))
    expci(repository.path, "start", "speed")
    expci(repository.path, "record", "speed", "--from", "-", stdin=lines(15, 0.5))
    expci(repository.path, "auto")
    expci(repository.path, "status", "speed")
    assert not (repository.path / "pwned").exists()
    body = git(repository.origin, "show", "refs/expci/ledger:pulls/1.json")
    assert "<script>" not in json.loads(body)["body"]


def test_help_names_every_verb_and_every_verb_has_help(tmp_path: Path) -> None:
    text = expci(tmp_path, "--help").stdout
    for verbs in MODULES.values():
        for verb in verbs:
            assert verb in text
            assert "Usage" in CliRunner().invoke(cli, [verb, "--help"]).output


def test_the_portfolio_is_found_by_tag(repository: Repository) -> None:
    propose(repository, "speed", f"{SPEC}tags: [ci, speed]\n")
    propose(repository, "size", SPEC)
    repository.push("HEAD:main")
    for name in ("speed", "size"):
        expci(repository.path, "start", name)
    everything = json.loads(expci(repository.path, "status", "--json").stdout)
    assert {row["id"] for row in everything["experiments"]} == {"speed", "size"}
    tagged = expci(repository.path, "status", "--tag", "ci", "--tag", "speed", "--json").stdout
    assert [row["id"] for row in json.loads(tagged)["experiments"]] == ["speed"]
    nothing = expci(repository.path, "status", "--tag", "elsewhere", "--json").stdout
    assert json.loads(nothing)["experiments"] == []
    both = expci(repository.path, "status", "speed", "--tag", "ci", code=2)
    assert "not both" in both.stderr
