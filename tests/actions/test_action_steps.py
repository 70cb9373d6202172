"""Steps of the actions without act: what `start.sh` and git are given, and odd machines."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from expci.core.model.trial import load_line
from expci.core.model.trial_reader import parse_trial
from expci.errors import ExpciError
from expci.runner.actions.inputs import Inputs, leg
from expci.store.git import credentials
from expci.store.git.git import Git
from expci.store.idle import mark_of
from expci.store.inbox import send
from expci.store.local import batch_file, spool
from support.act_stage import REPOSITORY
from support.clones import Clone, make_clone
from support.hub_bench import HubBench, bench, template
from support.processes import HANG_S
from support.repositories import Repository, git

__all__ = ["bench", "template"]

START = REPOSITORY / ".github" / "actions" / "start.sh"


def step(
    directory: Path, verb: str, tools: str | None = None, **inputs: str
) -> subprocess.CompletedProcess[str]:
    """One step of an action in a job that runs in `directory`."""
    environment = {
        **handed_on(directory.parent / "env"),
        "PATH": tools or f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(directory),
        "RUNNER_TEMP": str(directory.parent),
        "GITHUB_RUN_ID": "42",
        "GITHUB_JOB": "test",
        "GITHUB_ENV": str(directory.parent / "env"),
        "GITHUB_OUTPUT": str(directory.parent / "output"),
        **{key if key.isupper() else f"INPUT_{key.upper()}": v for key, v in inputs.items()},
    }
    return subprocess.run(
        ["/bin/sh", str(START), verb],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )


def record_and_push(directory: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The action `record` with `transport: push`: the record, and what sends it."""
    given = {"slot": "review", "status": "success", "EXPCI_ASSIGNED": "", **inputs}
    done = step(directory, "record", transport="push", **given)
    file = handed_on(directory.parent / "output").get("file", "")
    sent = step(directory, "push", transport="push", file=file, **given)
    return subprocess.CompletedProcess([], sent.returncode, done.stdout + sent.stdout, "")


def handed_on(file: Path) -> dict[str, str]:
    """The variables that earlier steps wrote to $GITHUB_ENV, as the runner reads them."""
    text = file.read_text() if file.exists() else ""
    found = re.findall(r"^(\w+)<<(\S+)\n(.*?)\n\2$", text, re.MULTILINE | re.DOTALL)
    return {name: value for name, _, value in found}


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = make_clone(tmp_path, "slot: review")
    made.publish(mode="live", slot="review", design="randomized")
    return made


# --- inputs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", ""),
        ("null", ""),
        ("{}", ""),
        ('{\n  "python": "3.12",\n  "os": "linux"\n}', "3.12,linux"),
        ('{"shard": 3, "fast": true, "more": {"b": 1, "a": [2]}}', '3,true,{"a": [2], "b": 1}'),
        ("my own words", "my own words"),
        ("3", "3"),
    ],
)
def test_a_leg_in_words(given: str, words: str) -> None:
    assert leg(given) == words


def test_long_legs_that_differ_at_the_end_stay_apart() -> None:
    one, two = (leg(json.dumps({"flags": "x" * 400 + end})) for end in "ab")
    assert one != two
    assert len(one) < 250


def test_every_upload_has_a_name_of_its_own_that_github_takes() -> None:
    inputs = Inputs(slot='a "slot"/with\\all: of|it*?<>', leg="3.12")
    place = {"GITHUB_RUN_ID": "42", "GITHUB_JOB": "test", "GITHUB_RUN_ATTEMPT": "2"}
    names = {inputs.artifact(place) for _ in range(50)}
    assert len(names) == 50
    assert all(name.startswith("expci-a_slot_with_all_of_it_-42-test-") for name in names)
    assert not set("".join(names)) & set('":<>|*?\r\n\\/ ')


ACTION_FILES = sorted((REPOSITORY / ".github" / "actions").glob("*/action.yml"))


# The steps of these actions read a few variables themselves, under the names that git and the
# command line know.
READ_BY_THEMSELVES = {
    "find": {
        "experiment": "EXPCI_EXPERIMENT",
        "pinned": "EXPCI_PINNED",
        "token": "GITHUB_TOKEN",
    },
    "start-lab": {
        "default-branch": "EXPCI_DEFAULT_BRANCH",
        "workflows": "EXPCI_WORKFLOWS",
        "token": "GITHUB_TOKEN",
    },
}


@pytest.mark.parametrize("file", ACTION_FILES, ids=lambda path: path.parent.name)
def test_every_input_reaches_the_step_by_its_environment_alone(file: Path) -> None:
    action = yaml.safe_load(file.read_text())
    own = action["inputs"].keys() - {"retention-days"}
    by_keeper = {"secrets": "INPUT_SECRETS"} if "secrets" in own else {}  # no part of `Inputs`
    names = READ_BY_THEMSELVES.get(file.parent.name)
    if names is None:
        assert own - by_keeper.keys() <= Inputs.__dataclass_fields__.keys()
        names = {name: f"INPUT_{name.upper()}" for name in own}
    for script in (step for step in action["runs"].get("steps", ()) if "run" in step):
        assert "${{" not in script["run"]
    if action["runs"]["using"] == "composite":
        steps = [
            step["env"] for step in action["runs"]["steps"] if "start.sh" in step.get("run", "")
        ]
        given = {key: value for env in steps for key, value in env.items()}
        file_ = given.pop("INPUT_FILE", "")
        assert file_ in (
            "",
            *(f"${{{{ steps.{name}.outputs.file }}}}" for name in ("lab", "record")),
        )
        of_inputs = {key: value for key, value in given.items() if "inputs." in value}
        assert of_inputs == {names[name]: "${{ inputs." + name + " }}" for name in own}


def test_the_step_that_runs_what_a_pull_request_proposes_has_no_token() -> None:
    file = REPOSITORY / ".github" / "actions" / "lab" / "action.yml"
    steps = yaml.safe_load(file.read_text())["runs"]["steps"]
    [run] = [step for step in steps if step.get("run", "").endswith('start.sh" lab')]
    assert not [value for value in run["env"].values() if "token" in value.lower()]


# --- a token for git ---------------------------------------------------------------------


def without_credentials(bench: HubBench, tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "bare-checkout", bench.repository.origin)
    git(tmp_path, "init", "-q", "bare-checkout")
    made.git("remote", "add", "origin", bench.hub.git_url)
    return made


def test_git_reaches_a_private_repository_with_the_token_alone(
    bench: HubBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Git(without_credentials(bench, tmp_path).path)
    assert made.attempt("ls-remote", "origin").returncode != 0
    # A setting that somebody else gave by the environment stays.
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Somebody")
    own = credentials.token_environment(made, "origin", bench.token.secret, bench.hub.server)
    assert made.attempt("ls-remote", "origin", env=own).returncode == 0
    assert made.attempt("config", "user.name", env=own).stdout == b"Somebody\n"
    assert bench.token.secret not in (made.git_dir / "config").read_text()


def test_what_the_checkout_keeps_itself_wins(bench: HubBench, tmp_path: Path) -> None:
    checkout = without_credentials(bench, tmp_path)
    checkout.git("config", f"http.{bench.hub.server}/.extraheader", "AUTHORIZATION: basic eDp5")
    made = Git(checkout.path)
    assert credentials.token_environment(made, "origin", "secret", bench.hub.server) == {}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1.evil.example/o/r.git", "git@github.com:o/r.git", "/somewhere"]
)
def test_nobody_else_gets_the_token(bench: HubBench, tmp_path: Path, url: str) -> None:
    checkout = without_credentials(bench, tmp_path)
    checkout.git("remote", "set-url", "origin", url)
    made = Git(checkout.path)
    assert credentials.token_environment(made, "origin", "secret", "http://127.0.0.1") == {}
    assert credentials.token_environment(made, "origin", "secret", "") == {}


# --- records in a file -------------------------------------------------------------------


def test_records_go_to_a_file_once_and_nowhere_else(clone: Clone, tmp_path: Path) -> None:
    target = tmp_path / "out" / "trials.jsonl"
    clone.expci("assign", "--slot", "review", "--unit", "u-1", "--apply")
    done = clone.expci("record", "--slot", "review", "--to", str(target))
    assert done.returncode == 0, done.stderr
    [line] = target.read_bytes().splitlines()
    assert parse_trial(load_line(line)).unit == "u-1"
    assert clone.arrived() == []
    assert not list(clone.private.glob("spool/*/*"))
    batch_file.append_records(target, [line.decode()])
    assert target.read_bytes().splitlines() == [line]


def test_a_lab_run_writes_a_file_that_the_inbox_would_take(tmp_path: Path) -> None:
    clone = make_clone(tmp_path)
    clone.publish()
    target = tmp_path / "trials.jsonl"
    done = clone.expci("trial", "faster", "--pairs", "2", "--to", str(target))
    assert done.returncode == 0, done.stderr
    lines = target.read_bytes().splitlines()
    assert len({parse_trial(load_line(line)).id for line in lines}) == 4
    assert clone.arrived() == []


def test_a_file_never_grows_beyond_what_the_pass_takes(tmp_path: Path) -> None:
    target = tmp_path / "trials.jsonl"
    batch_file.append_records(target, ["x" * (send.BATCH_BYTES - 10)])
    with pytest.raises(ExpciError, match="fewer pairs"):
        batch_file.append_records(target, ["y" * 20])
    assert target.stat().st_size <= send.BATCH_BYTES


# --- machines ----------------------------------------------------------------------------


def bare_machine(tmp_path: Path, python: str = "") -> str:
    """A PATH with the usual tools, and perhaps a `python3` of some kind."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "bash", "env", "dirname", "git", "cat"):
        (tools / name).symlink_to(str(shutil.which(name)))
    if python:
        (tools / "python3").write_text(f"#!/bin/sh\n{python}\n")
        (tools / "python3").chmod(0o755)
    return str(tools)


@pytest.mark.parametrize("python", ["", "exit 1"])
def test_without_a_python_that_is_new_enough_the_job_goes_on(
    clone: Clone, tmp_path: Path, python: str
) -> None:
    path = bare_machine(tmp_path, python)
    done = step(clone.root, "assign", path, slot="review")
    assert done.returncode == 0
    assert done.stdout.startswith("::warning title=expci::expci needs Python 3.11")
    assert step(clone.root, "record", path, slot="review", strict="true").returncode == 1
    assert step(clone.root, "pass", path).returncode == 1
    command = "echo worked, ${INPUT_TOKEN:-without the token}; exit 5"
    assert step(clone.root, "trial", path, slot="review").returncode == 0
    done = step(clone.root, "trial-run", path, slot="review", run=command, token="secret")
    assert done.returncode == 5
    assert done.stdout == "worked, without the token\n"


@pytest.mark.parametrize(
    ("lacks", "words"),
    [
        ("git", "there is no git on PATH"),
        ("fcntl", "expci needs Python 3.11 or newer on Linux or macOS"),  # as on Windows
    ],
)
def test_a_machine_that_lacks_something_runs_control_and_is_told(
    clone: Clone, tmp_path: Path, lacks: str, words: str
) -> None:
    """It never falls open: no arm is named, no file is changed, and the job's page says why."""
    without = 'case "$*" in *fcntl*) exit 1 ;; esac\n' if lacks == "fcntl" else ""
    path = Path(bare_machine(tmp_path, f'{without}exec {sys.executable} "$@"'))
    if lacks == "git":
        (path / "git").unlink()
    before = {file: file.read_bytes() for file in clone.root.glob("*") if file.is_file()}
    done = step(clone.root, "assign", str(path), slot="review")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"::warning title=expci::{words}" in done.stdout
    assert "goes on without expci" in done.stdout
    assert "arm" not in handed_on(tmp_path / "output")
    assert handed_on(tmp_path / "env") == {}
    assert {f: f.read_bytes() for f in clone.root.glob("*") if f.is_file()} == before
    strict = step(clone.root, "assign", str(path), slot="review", strict="true")
    assert strict.returncode == 1
    assert f"::error title=expci::{words}" in strict.stdout


def test_where_there_is_no_shell_the_job_goes_on(clone: Clone, tmp_path: Path) -> None:
    """As on Windows without git's own. The runner fails a step whose `shell:` it does not find."""
    for name in ("assign", "record"):
        action = yaml.safe_load((START.parent / name / "action.yml").read_text())
        steps = [step for step in action["runs"]["steps"] if "start.sh" in step.get("run", "")]
        open_ = "${{ inputs.strict != 'true' }}"
        assert {step["continue-on-error"] for step in steps} == {open_}
    node = shutil.which("node")
    assert node is not None
    environment = {"PATH": str(tmp_path), "INPUT_SLOT": "review"}
    for strict, half, code in (("", "main", 0), ("", "post", 0), ("true", "main", 1)):
        done = subprocess.run(
            [node, str(START.parent / "trial" / f"{half}.js")],
            cwd=clone.root,
            env={**environment, "INPUT_STRICT": strict},
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
        assert done.returncode == code
        assert "title=expci::expci needs a POSIX shell" in done.stdout


def test_nothing_of_the_checkout_is_imported(clone: Clone) -> None:
    clone.write(dict.fromkeys(("json.py", "expci.py"), "raise SystemExit('hijacked')\n"))
    done = step(clone.root, "assign", slot="review", PYTHONPATH=str(clone.root))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "expci: faster: " in done.stdout


def test_dependencies_that_cannot_be_had_fail_the_pass_and_run_nothing_of_the_checkout(
    clone: Clone,
) -> None:
    names = ("venv.py", "pip.py", "ensurepip.py", "json.py")
    clone.write(dict.fromkeys(names, "raise SystemExit('hijacked')\n"))
    done = step(clone.root, "validate", PIP_NO_INDEX="1", PIP_NO_CACHE_DIR="1")
    assert done.returncode == 1
    assert "::error title=expci::expci's dependencies could not be installed" in done.stdout
    assert "hijacked" not in done.stdout + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_checkout_of_another_user_is_read_as_container_jobs_need(clone: Clone) -> None:
    for path in (clone.root, clone.root / ".git"):
        os.chown(path, 12345, 12345)
    done = step(clone.root, "assign", slot="review")
    assert "expci: faster: " in done.stdout, done.stdout + done.stderr


def test_a_checkout_that_was_replaced_meanwhile_is_said(clone: Clone, tmp_path: Path) -> None:
    assert step(clone.root, "assign", slot="review", unit="u-1").returncode == 0
    told = (tmp_path / "env").read_text()
    assigned = told.split("EXPCI_ASSIGNED<<")[1].splitlines()[1]
    shutil.rmtree(clone.git.git_dir / "expci")
    done = step(clone.root, "record", slot="review", status="success", EXPCI_ASSIGNED=assigned)
    assert "is lost: a step after `assign` replaced the checkout" in done.stdout
    assert done.returncode == 0


def test_a_hostile_message_is_no_workflow_command(clone: Clone) -> None:
    name = "x\n::add-mask::all\n::error::evil"
    done = step(clone.root, "assign", experiment=name)
    commands = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert len(commands) == 1
    assert commands[0].startswith("::warning title=expci::")


def test_a_status_that_nobody_knows_is_no_success(clone: Clone, tmp_path: Path) -> None:
    step(clone.root, "assign", slot="review", unit="u-1")
    done = record_and_push(clone.root, status="", EXPCI_ASSIGNED="yes")
    assert "the status 'unknown' does not say how the work ended" in done.stdout
    [trial] = clone.arrived()
    assert (trial.status, trial.metrics) == ("error", {})


def test_two_full_files_of_metrics_still_make_a_record(clone: Clone, tmp_path: Path) -> None:
    """A record holds at most 100 metrics; one with more would be refused, and lost."""
    step(clone.root, "assign", slot="review", unit="u-1")
    file = (tmp_path / "env").read_text().split("EXPCI_METRICS<<")[1].splitlines()[1]
    Path(file).write_text("".join(f"a{number}=1\n" for number in range(90)))
    (clone.root / "more.txt").write_text("".join(f"b{number}=1\n" for number in range(90)))
    done = record_and_push(clone.root, metrics="more.txt", EXPCI_ASSIGNED="yes")
    [trial] = clone.arrived()
    assert len(trial.metrics) <= 100
    assert trial.metrics["b89"] == trial.metrics["a0"] == 1
    assert "84 metrics are ignored" in done.stdout


def test_a_repository_below_the_workspace(clone: Clone) -> None:
    done = step(clone.root.parent, "assign", slot="review", path=clone.root.name)
    assert "expci: faster: " in done.stdout


ANCESTORS = """\
p=$$
while [ "$p" -gt 1 ] && [ -r /proc/$p/environ ]; do
  echo "looked at $(cat /proc/$p/comm)"
  tr '\\0' '\\n' < /proc/$p/environ | grep 'ghs[_]sekret' | sed 's/^/STOLEN: /'
  p=$(awk '/^PPid/{print $2}' /proc/$p/status)
done
"""


def test_a_measured_command_finds_no_token_in_the_processes_above_it(
    clone: Clone, tmp_path: Path
) -> None:
    """`/proc/PID/environ` shows what a process was started with, whatever it deletes later."""
    node = shutil.which("node")
    assert node is not None
    inputs = {"SLOT": "review", "UNIT": "u-1", "TOKEN": "ghs_sekret", "RUN": ANCESTORS}
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_RUN_ID": "42",
        "GITHUB_SERVER_URL": "https://github.com",
        **{f"INPUT_{name}": value for name, value in inputs.items()},
    }
    halves = [
        subprocess.run(
            [node, str(START.parent / "trial" / half)],
            cwd=clone.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
        for half in ("main.js", "post.js")
    ]
    said = halves[0].stdout
    assert [half.returncode for half in halves] == [0, 0]
    assert "looked at node" in said
    assert "STOLEN: " not in said
    [trial] = clone.arrived()
    assert (trial.unit, trial.status) == ("u-1", "ok")


FILTER = """\
#!/bin/sh
p=$$
while [ "$p" -gt 1 ] && [ -r /proc/$p/environ ]; do
  tr '\\0' '\\n' < /proc/$p/environ
  p=$(awk '/^PPid/{print $2}' /proc/$p/status)
done > "$0.loot"
cat
"""


@pytest.mark.parametrize("verb", ["record", "trial-end"])
def test_what_the_work_makes_git_run_afterwards_finds_no_token(
    clone: Clone, tmp_path: Path, verb: str
) -> None:
    """Its filter runs as the checkout's new content is put back, below the step's process."""
    step(clone.root, "assign", slot="review", unit="u-1")
    evil = tmp_path / "evil"
    evil.write_text(FILTER)
    evil.chmod(0o755)
    moved = git(clone.root, "hash-object", "-w", "other.txt")
    git(clone.root, "update-index", "--no-skip-worktree", "tool.sh")
    git(clone.root, "update-index", "--cacheinfo", f"100644,{moved},tool.sh")
    git(clone.root, "commit", "-qm", "Work of the job")
    for key in ("clean", "smudge"):
        git(clone.root, "config", f"filter.x.{key}", str(evil))
    (clone.root / ".git/info").mkdir(exist_ok=True)
    (clone.root / ".git/info/attributes").write_text("* filter=x\n")
    inputs = {"token": "ghs_sekret", "GITHUB_SERVER_URL": "https://github.com"}
    done = step(clone.root, verb, slot="review", status="success", EXPCI_ASSIGNED="", **inputs)
    assert "recorded" in done.stdout, done.stdout + done.stderr
    loot = Path(f"{evil}.loot").read_text()
    assert "GITHUB_RUN_ID=42" in loot, "the filter saw the step's environment"
    assert not {"ghs_sekret", "AUTHORIZATION"} & set(re.split(r"[=: \n]", loot))


def test_the_step_that_looks_at_the_checkout_after_the_work_has_no_token() -> None:
    action = yaml.safe_load((START.parent / "record" / "action.yml").read_text())
    with_token = [
        step["name"] for step in action["runs"]["steps"] if "INPUT_TOKEN" in step.get("env", {})
    ]
    assert with_token == ["Push"]


def test_where_pushed_trials_do_not_count_nothing_is_pushed(clone: Clone, tmp_path: Path) -> None:
    """`record` hands its file to the upload, and a laptop is told."""
    clone.write({"experiments/expci.yml": "version: 1\ntransport: artifact\n"})
    git(clone.root, "add", "-A")
    git(clone.root, "commit", "-qm", "Count what the CI vouches for")
    step(clone.root, "assign", slot="review", unit="u-1")
    record_and_push(clone.root)
    outputs = (tmp_path / "output").read_text()
    assert "artifact<<" in outputs, "the step hands a file to the upload"
    step(clone.root, "assign", slot="review", unit="u-2")
    step(clone.root, "trial-end", slot="review", status="success")
    assert spool.NOT_PUSHED in step(clone.root, "after", slot="review").stdout
    done = clone.expci("record", "--flush")
    assert done.returncode == 1
    assert "nothing is pushed from here" in done.stdout + done.stderr
    assert clone.arrived() == []


@pytest.mark.parametrize("value", ["slower", None])
def test_a_job_without_the_arm_s_variables_is_no_trial_of_the_arm(
    clone: Clone, tmp_path: Path, value: str | None
) -> None:
    """The runner drops some, and a step may set another value: a silent A/A."""
    for number in range(50):
        if ": treatment (" in step(clone.root, "assign", slot="review", unit=f"u-{number}").stdout:
            break
    assert "MODE<<" in (tmp_path / "env").read_text()
    (tmp_path / "env").write_text(f"MODE<<x\n{value}\nx\n" if value else "")
    done = record_and_push(clone.root)
    assert "does not have MODE as the arm sets it" in done.stdout
    [trial] = clone.arrived()
    assert (trial.arm, trial.status, trial.excluded) == ("treatment", "error", "not_exposed")


def test_a_job_that_is_left_untouched_is_asked_for_no_variables(
    clone: Clone, tmp_path: Path
) -> None:
    clone.write({"tool.sh": "echo the pull request's\n"})
    clone.commit()
    number = 0
    while len({trial.arm for trial in clone.arrived()}) < 2:  # so of the treatment too
        step(clone.root, "assign", slot="review", unit=f"u-{number}")
        record_and_push(clone.root)
        number += 1
        assert number <= 20
    assert "MODE" not in (tmp_path / "env").read_text()
    assert {(trial.arm, trial.excluded) for trial in clone.arrived()} == {
        ("control", "file_changed"),
        ("treatment", "file_changed"),
    }


def test_days_without_a_pass_are_said_in_the_job(clone: Clone) -> None:
    exposure = clone.publish(mode="live", slot="review", design="randomized")
    clone.publish_all({clone.experiment: exposure}, passed="2026-01-01T00:00:00.000Z")
    for done in (step(clone.root, "assign", slot="review"), record_and_push(clone.root)):
        assert "::warning title=expci::no pass has run for" in done.stdout
        assert done.returncode == 0


# --- what the work leaves for the later push ---------------------------------------------


def hostile_work(directory: Path, home: Path, elsewhere: Path) -> None:
    """Everything that a job's work can write for the git of later steps."""
    lines = [
        f'[url "{elsewhere}"]\n\tinsteadOf = http\n\tpushInsteadOf = http\n',
        f"[core]\n\tsshCommand = touch {elsewhere}/ssh\n\thooksPath = {elsewhere}\n",
        f"[credential]\n\thelper = !env > {elsewhere}/env\n",
        '[http]\n\tproxy = http://127.0.0.1:9\n[remote "origin"]\n\tpushurl = /nowhere\n',
    ]
    for file in (directory / ".git" / "config", home / ".gitconfig"):
        with file.open("a") as stream:
            stream.write("".join(lines))


def test_the_push_takes_nothing_from_what_the_work_configured(
    bench: HubBench, tmp_path: Path
) -> None:
    server, secret = bench.hub.server, bench.token.secret
    elsewhere, home = tmp_path / "elsewhere", tmp_path / "home"
    for place in (elsewhere, home):
        place.mkdir()
    checkout_ = without_credentials(bench, tmp_path)
    hostile_work(checkout_.path, home, elsewhere)
    code = (
        "import sys\n"
        "from expci.store.git.isolated import isolated_remote\n"
        "from expci.store.inbox import send\n"
        "with isolated_remote(*sys.argv[1:4], 'sha1') as remote:\n"
        "    send.send(remote, 'faster', b'{}\\n')\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{elsewhere}.insteadOf",
        "GIT_CONFIG_VALUE_0": "http",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, bench.hub.git_url, secret, server],
        cwd=checkout_.path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(Git(bench.repository.origin).refs("refs/expci/inbox")) == 1
    assert list(elsewhere.iterdir()) == []


def test_what_an_earlier_job_could_not_send_is_not_sent_with_this_job_s_token(
    clone: Clone, tmp_path: Path
) -> None:
    """On a runner of one's own: a fork's job left records that its token could not push."""
    away = clone.origin.with_name("away")
    step(clone.root, "assign", slot="review", unit="u-1")
    clone.origin.rename(away)
    inputs = {"slot": "review", "status": "success"}
    step(clone.root, "trial-end", **inputs)
    step(clone.root, "after", **inputs)
    assert len(list((clone.private / "spool").glob("*/*.jsonl"))) == 1
    away.rename(clone.origin)
    (tmp_path / "env").unlink()  # as each job has its own
    done = step(clone.root, "assign", slot="review", unit="u-2", GITHUB_RUN_ID="43")
    assert "are not sent now; they are in" in done.stdout
    for verb in ("trial-end", "after"):
        step(clone.root, verb, **inputs, GITHUB_RUN_ID="43")
    assert [trial.unit for trial in clone.arrived()] == ["u-2"]
    # They are kept for whoever looks into them.
    assert len(list(clone.private.glob("spool-of-earlier-jobs-*/*/*.jsonl"))) == 1


def test_a_mark_of_an_idle_hour_is_not_believed_for_ever(clone: Clone, tmp_path: Path) -> None:
    """Whoever may push refs can forge it, and so keep harm from being undone."""
    origin = Git(clone.origin)
    listed = {"HEAD": origin.require("HEAD"), **origin.refs("refs/expci")}
    git(clone.origin, "update-ref", mark_of(listed), listed["HEAD"])
    said = []
    for number in ("23", "24", "25"):
        job = {"GITHUB_EVENT_NAME": "schedule", "GITHUB_RUN_NUMBER": number}
        address = {"GITHUB_SERVER_URL": f"file://{tmp_path}", "GITHUB_REPOSITORY": "origin"}
        step(clone.root, "idle", token="t", **job, **address)
        said.append(handed_on(tmp_path / "output")["idle"])
    assert said == ["true", "false", "true"]


@pytest.mark.parametrize("variable", ["GITHUB_OUTPUT", "GITHUB_ENV"])
def test_a_file_of_the_runner_s_that_cannot_be_written_is_said(clone: Clone, variable: str) -> None:
    """`MODE` of the arm would not reach the work: such a trial is no trial of the arm."""
    before = (clone.root / "tool.sh").read_text()
    for unit in ("u-2", "u-3"):  # one of each arm
        done = step(clone.root, "assign", slot="review", unit=unit, **{variable: "/nowhere/x"})
        assert done.returncode == 0
        assert f"{variable} cannot be written" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        if variable == "GITHUB_ENV":
            assert (clone.root / "tool.sh").read_text() == before
        record_and_push(clone.root)
    trials = clone.arrived()
    assert {trial.arm for trial in trials} == {"control", "treatment"}
    status = "error" if variable == "GITHUB_ENV" else "ok"
    assert {trial.status for trial in trials} == {status}
