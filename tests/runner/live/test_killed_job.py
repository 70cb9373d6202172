"""A job that is killed between `assign` and `record`, and the ordinary checkouts that follow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import expci
from expci.core.assignment import Rule, assign
from support.clones import Clone, make_clone, run_git

JOB = {"GITHUB_RUN_ID": "1", "GITHUB_JOB": "build"}
NEXT = {"GITHUB_RUN_ID": "2", "GITHUB_JOB": "deploy"}
QUOTED = 'it\'s a "$dir"/new *.txt'


def treated(tmp_path: Path) -> tuple[Clone, str]:
    """A clone with an experiment in a slot, and a unit that gets the treatment."""
    clone = make_clone(tmp_path, "slot: review")
    exposure = clone.publish(mode="live", slot="review", design="randomized", unit="custom")
    rule = Rule(exposure.plan, exposure.salt, exposure.design, exposure.weights, 1.0)
    return clone, next(u for n in range(99) if assign(rule, u := f"u-{n}").arm == "treatment")


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, str]:
    """The clone before its job, and a unit that gets the treatment; copied for each test."""
    clone = make_clone(tmp_path_factory.mktemp("exposed"), "slot: review")
    # Above 1,000 entries git compares files with the index in threads, by other code.
    clone.write({f"many/{number}": f"{number}\n" for number in range(1100)})
    clone.write({"old.txt": "old\n", f"experiments/faster/treatment/{QUOTED}": "new\n"})
    spec = clone.root / "experiments/faster/experiment.yml"
    spec.write_text(spec.read_text().replace("  env:", "  delete: [old.txt]\n    env:"))
    clone.commit()
    exposure = clone.publish(mode="live", slot="review", design="randomized", unit="custom")
    rule = Rule(exposure.plan, exposure.salt, exposure.design, exposure.weights, 1.0)
    for directory in (clone.root, clone.origin):
        run_git(directory, "repack", "-a", "-d", "-q")  # few files are to be copied
    return clone, next(u for n in range(99) if assign(rule, u := f"u-{n}").arm == "treatment")


@pytest.fixture(params=["clone", "a b 'c'"])
def killed(exposed: tuple[Clone, str], tmp_path: Path, request: pytest.FixtureRequest) -> Clone:
    """A clone whose job got the treatment and ended without a word."""
    clone = exposed[0].copy(tmp_path, request.param)
    done = clone.expci("assign", "--slot", "review", "--unit", exposed[1], "--apply", env=JOB)
    assert done.stdout == "faster treatment\n", done.stderr
    return clone


def files(clone: Clone) -> list[str | None]:
    paths = [clone.root / name for name in ("tool.sh", "old.txt", QUOTED)]
    return [path.read_text() if path.exists() else None for path in paths]


def hidden(clone: Clone, *arguments: str) -> str:
    """git in the job itself."""
    job = {**clone.environment, **JOB}
    done = subprocess.run(
        ["git", *arguments], cwd=clone.root, env=job, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    "checkout",
    [
        [("reset", "-q", "--hard"), ("clean", "-ffdxq")],
        [("checkout", "-q", "-f", "HEAD"), ("clean", "-ffdxq")],
        [("-c", "advice.x=1", "-C", ".", "reset", "--hard", "-q"), ("clean", "-ffdxq")],
        [("clean", "-ffdxq"), ("checkout", "-qf", "--detach", "HEAD")],
        [("switch", "-q", "--discard-changes", "--detach", "HEAD"), ("clean", "-ffdxq")],
        [("restore", "."), ("clean", "-ffdxq")],
        [("read-tree", "-q", "--reset", "-u", "HEAD"), ("clean", "-ffdxq")],
        # What git ignores stays; the arm's new files are none of that any more.
        [("reset", "-q", "--hard"), ("clean", "-fdq")],
        [("stash", "-q"), ("clean", "-fdq")],
    ],
)
def test_a_checkout_restores_the_commit(killed: Clone, checkout: list[tuple[str, ...]]) -> None:
    for command in checkout:
        run_git(killed.root, *command)
    assert files(killed) == ["echo control\n", "old\n", None]
    assert run_git(killed.root, "status", "--porcelain") == ""


@pytest.mark.parametrize("command", ["reset --hard -q next", "checkout -q -f next"])
def test_a_checkout_of_a_commit_that_changes_the_same_files(killed: Clone, command: str) -> None:
    """With skip-worktree git answers "Entry 'tool.sh' not uptodate. Cannot merge."."""
    blob = run_git(killed.root, "hash-object", "-w", "--stdin", stdin=b"echo promoted\n").strip()
    tree = run_git(killed.root, "ls-tree", "HEAD").replace(
        run_git(killed.root, "rev-parse", "HEAD:tool.sh").strip(), blob
    )
    tree = run_git(killed.root, "mktree", stdin=tree.encode()).strip()
    commit = run_git(killed.root, "commit-tree", tree, "-p", "HEAD", "-m", "next").strip()
    run_git(killed.root, "branch", "next", commit)
    run_git(killed.root, *command.split())
    assert (killed.root / "tool.sh").read_text() == "echo promoted\n"


def test_another_job_s_git_tells_the_truth(killed: Clone) -> None:
    # In the job itself nothing is to be added ...
    assert hidden(killed, "status", "--porcelain") == ""
    hidden(killed, "rm", "-q", "other.txt")
    hidden(killed, "add", "-A")
    assert hidden(killed, "diff", "--cached", "--name-only").split() == ["other.txt"]
    hidden(killed, "commit", "-qam", "the job's own work")
    assert hidden(killed, "show", "--format=", "--name-only", "HEAD").split() == ["other.txt"]
    # ... and the next one is told what is there, of new files too.
    status = run_git(killed.root, "status", "--porcelain", "-uall", "-z").split("\0")
    assert {" M tool.sh", " D old.txt", f"?? {QUOTED}"} <= set(status)


@pytest.mark.parametrize(
    "next_job",
    [{"BUILD_NUMBER": "2", "TEAMCITY_BUILDCONF_NAME": "deploy"}, {"BITBUCKET_BUILD_NUMBER": "8"}],
)
def test_a_job_of_any_ci_records_no_other_s_trial(killed: Clone, next_job: dict[str, str]) -> None:
    done = killed.expci("record", "--slot", "review", env=next_job)
    assert "an earlier job here never recorded its trial of faster" in done.stderr
    assert killed.arrived() == []
    assert files(killed) == ["echo control\n", "old\n", None]


def test_without_a_ci_a_job_lasts_as_long_as_what_called_expci(tmp_path: Path) -> None:
    clone, unit = treated(tmp_path)
    script = (
        f"{sys.executable} -m expci assign --slot review --unit {unit} --apply\n"
        "git status --porcelain; echo; cat tool.sh\n"
    )
    environment = {**clone.environment, "PYTHONPATH": str(Path(expci.__file__).parents[1])}
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=clone.root, env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout == "faster treatment\n\necho treatment\n"
    assert " M tool.sh" in run_git(clone.root, "status", "--porcelain").splitlines()


def test_a_look_at_the_arm_does_not_stand_for_putting_it_in_place(tmp_path: Path) -> None:
    clone, unit = treated(tmp_path)
    for apply, content in (((), "echo control\n"), (("--apply",), "echo treatment\n")):
        clone.expci("assign", "--slot", "review", "--unit", unit, *apply, env=JOB)
        assert (clone.root / "tool.sh").read_text() == content
    clone.expci("record", "--slot", "review", env=JOB)
    [trial] = clone.arrived()
    assert (trial.arm, trial.excluded) == ("treatment", None)


def test_a_later_assign_leaves_a_newer_commit_s_files_alone(killed: Clone) -> None:
    """The variant was promoted meanwhile, and the next job checked that out."""
    for name in ("tool.sh", QUOTED):
        run_git(killed.root, "add", "-f", "--", name)
    run_git(killed.root, "rm", "-q", "--cached", "old.txt")
    run_git(killed.root, "commit", "-q", "-m", "promoted")
    promoted = ["echo treatment\n", None, "new\n"]
    run_git(killed.root, "reset", "-q", "--hard")
    assert files(killed) == promoted
    done = killed.expci("assign", "--slot", "other", "--unit", "u", "--apply", env=NEXT)
    assert "never recorded" in done.stderr
    assert files(killed) == promoted
    assert run_git(killed.root, "status", "--porcelain", "--ignored") == ""


def test_a_later_assign_gives_a_newer_commit_s_files_where_the_variant_still_lies(
    killed: Clone,
) -> None:
    """A checkout that moves HEAD alone, as `git reset --soft` does."""
    (killed.root / "tool.sh").rename(killed.root / "aside")
    (killed.root / "tool.sh").write_text("echo third\n")
    run_git(killed.root, "commit", "-q", "-m", "third", "--", "tool.sh")
    (killed.root / "aside").replace(killed.root / "tool.sh")
    killed.expci("assign", "--slot", "other", "--unit", "u", "--apply", env=NEXT)
    assert files(killed) == ["echo third\n", "old\n", None]
    assert run_git(killed.root, "status", "--porcelain", "--ignored") == ""


def test_a_copy_of_the_checkout_is_no_job_s(killed: Clone, tmp_path: Path) -> None:
    copy = shutil.copytree(killed.root, tmp_path / "copy", symlinks=True)
    outputs = [
        subprocess.run(["git", *arguments], cwd=copy, capture_output=True, text=True, check=True)
        for arguments in (("reset", "-q", "--hard"), ("clean", "-fdq"), ("status", "--porcelain"))
    ]
    assert [(done.stdout, done.stderr) for done in outputs] == [("", "")] * 3
    assert not (copy / QUOTED).exists()
    assert hidden(killed, "status", "--porcelain") == ""  # the job's own is as it was


def test_the_checkout_by_another_path_is_left_as_it_is(killed: Clone, tmp_path: Path) -> None:
    """As a container sees it, with a mount of the work tree alone."""
    place = killed.root
    killed.root = place.rename(tmp_path / "mounted")
    done = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=killed.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (" M tool.sh" in done.stdout.splitlines(), done.stderr) == (True, "")


@pytest.mark.parametrize(
    "command",
    [
        *("checkout -- other.txt", "checkout other.txt", "checkout HEAD -- many/1"),
        *("restore other.txt", "restore --staged .", "-C many checkout -- ../other.txt"),
        *("reset -q", "reset -q HEAD other.txt"),
    ],
)
def test_a_job_that_restores_its_own_files_still_adds_none_of_the_arm_s(
    killed: Clone, command: str
) -> None:
    (killed.root / "other.txt").write_text("the job's own\n")
    hidden(killed, *command.split())
    (killed.root / "version.txt").write_text("2\n")
    hidden(killed, "add", "-A")
    staged = hidden(killed, "diff", "--cached", "--name-only").split()
    assert set(staged) - {"other.txt"} == {"version.txt"}


@pytest.mark.parametrize("command", ["checkout -- *.sh", "restore -SW .", "checkout HEAD -- ."])
def test_the_job_itself_can_restore_the_arm_s(killed: Clone, command: str) -> None:
    hidden(killed, *command.split())
    assert (killed.root / "tool.sh").read_text() == "echo control\n"


def test_the_user_s_own_monitor_comes_back(killed: Clone) -> None:
    killed.expci("record", "--slot", "review", env=JOB)
    config = (killed.root / ".git/config").read_bytes()
    assert b"fsmonitor" not in config
    run_git(killed.root, "config", "core.fsmonitor", "false")
    config = (killed.root / ".git/config").read_bytes()
    unit = killed.arrived()[0].unit
    killed.expci("assign", "--slot", "review", "--unit", unit, "--apply", env=NEXT)
    assert (killed.root / ".git/config").read_bytes() != config
    killed.expci("record", "--slot", "review", env=NEXT)
    assert (killed.root / ".git/config").read_bytes() == config
