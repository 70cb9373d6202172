"""Live trials: `assign --apply` in one step of a job, `record` in a later one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from expci.core.assignment import Rule, assign
from expci.store.published import Exposure
from support.clones import Clone, assert_untouched, make_clone, run_git

SLOT = ("--slot", "review")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return live_clone(tmp_path)


def live_clone(tmp_path: Path) -> Clone:
    made = make_clone(tmp_path, "slot: review")
    made.write(
        {
            "old.txt": "old\n",
            "experiments/faster/treatment/new dir/[x] #1 .txt": "new\n",
        }
    )
    spec = made.root / "experiments/faster/experiment.yml"
    spec.write_text(spec.read_text().replace("  env:", "  delete: [old.txt]\n    env:"))
    made.commit()
    publish(made)
    return made


def publish(clone: Clone, **changes: object) -> Exposure:
    live: dict[str, object] = {"mode": "live", "slot": "review", "design": "randomized"}
    return clone.publish(**{**live, "unit": "custom", **changes})


def unit_of(exposure: Exposure, arm: str) -> str:
    rule = Rule(exposure.plan, exposure.salt, exposure.design, exposure.weights, 1.0)
    return next(u for n in range(99) if assign(rule, u := f"u-{n}").arm == arm)


@pytest.fixture
def treated(clone: Clone) -> str:
    return unit_of(publish(clone), "treatment")


def apply(clone: Clone, unit: str, **env: str) -> subprocess.CompletedProcess[str]:
    done = clone.expci("assign", *SLOT, "--unit", unit, "--apply", env=env)
    assert done.returncode == 0, done.stderr
    return done


def test_the_arm_is_put_in_place_hidden_measured_and_taken_back(
    clone: Clone, treated: str, tmp_path: Path
) -> None:
    before = clone.state()
    output, variables = tmp_path / "output", tmp_path / "env"
    done = apply(clone, treated, GITHUB_OUTPUT=str(output), GITHUB_ENV=str(variables))
    assert done.stdout == "faster treatment\n"
    assert (clone.root / "tool.sh").read_text() == "echo treatment\n"
    assert (clone.root / "new dir/[x] #1 .txt").read_text() == "new\n"
    assert not (clone.root / "old.txt").exists()
    # The job commits its own work with `git add -A`: none of the arm's files go along.
    clone.write({"work.txt": "the job's\n"})
    run_git(clone.root, "add", "-A")
    assert run_git(clone.root, "diff", "--cached", "--name-only").split() == ["work.txt"]
    run_git(clone.root, "rm", "-qf", "work.txt")

    told = variables.read_text()
    file = told.split("EXPCI_METRICS<<")[1].splitlines()[1]
    Path(file).write_text("score=0.5\nduration_s=0\n")
    for name, value in (("EXPCI_ARM", "treatment"), ("EXPCI_UNIT", treated), ("MODE", "fast")):
        assert f"{name}<<" in told
        assert told.split(f"{name}<<")[1].splitlines()[1] == value
    assert output.read_text().split("arm_faster<<")[1].splitlines()[1] == "treatment"

    later = {"MODE": "fast"}  # what the runner made of $GITHUB_ENV
    options = ("--status", "failure", "--metric", "tokens=9", "--json")
    done = clone.expci("record", *SLOT, *options, env=later)
    assert done.returncode == 0, done.stderr
    [trial] = clone.arrived()
    assert json.loads(done.stdout)["trials"][0]["id"] == trial.id
    assert (trial.mode, trial.status, trial.arm, trial.unit) == (
        "live",
        "failed",
        "treatment",
        treated,
    )
    assert (trial.metrics["score"], trial.metrics["tokens"]) == (0.5, 9.0)
    assert trial.metrics["success"] == 0
    assert trial.metrics["duration_s"] > 0
    assert_untouched(before, clone, index=False)
    assert run_git(clone.root, "ls-files", "-t", "-v").count("H ") == 6


def test_control_leaves_the_checkout_as_it_is(clone: Clone) -> None:
    before = clone.state()
    unit = unit_of(publish(clone), "control")
    assert apply(clone, unit).stdout == "faster control\n"
    assert_untouched(before, clone)
    clone.expci("record", *SLOT)
    assert [(t.arm, t.status, t.excluded) for t in clone.arrived()] == [("control", "ok", None)]


def test_a_job_that_changes_the_varied_file_is_left_alone(clone: Clone, treated: str) -> None:
    clone.write({"tool.sh": "echo the pull request's\n"})
    clone.commit()
    before = clone.state()
    done = apply(clone, treated)
    assert done.stdout == "faster\n"
    assert "untouched" in done.stderr
    assert_untouched(before, clone)
    clone.expci("record", *SLOT)
    [trial] = clone.arrived()
    assert (trial.arm, trial.status, trial.excluded) == ("treatment", "ok", "file_changed")


def test_a_change_that_is_not_committed_counts_too(clone: Clone, treated: str) -> None:
    clone.write({"tool.sh": "echo uncommitted\n"})
    assert apply(clone, treated).stdout == "faster\n"
    assert (clone.root / "tool.sh").read_text() == "echo uncommitted\n"


def test_a_file_in_the_way_of_a_new_one_counts_too(clone: Clone, treated: str) -> None:
    clone.write({"new dir/[x] #1 .txt": "mine\n"})
    assert apply(clone, treated).stdout == "faster\n"
    assert (clone.root / "new dir/[x] #1 .txt").read_text() == "mine\n"


def test_an_action_that_restores_the_file_is_noticed(clone: Clone, treated: str) -> None:
    before = clone.state()
    apply(clone, treated)
    clone.write({"tool.sh": "echo control\n"})
    done = clone.expci("record", *SLOT)
    assert "did not keep the arm's content" in done.stderr
    [trial] = clone.arrived()
    assert (trial.status, trial.excluded, trial.metrics) == ("error", "not_exposed", {})
    assert_untouched(before, clone, index=False)


def test_what_the_job_wrote_over_the_arm_s_file_is_kept(clone: Clone, treated: str) -> None:
    apply(clone, treated)
    clone.write({"tool.sh": "echo formatted by the job\n"})
    clone.expci("record", *SLOT)
    assert (clone.root / "tool.sh").read_text() == "echo formatted by the job\n"
    assert (clone.root / "old.txt").read_text() == "old\n"


def test_assigning_again_in_the_same_job_is_the_same_trial(clone: Clone, treated: str) -> None:
    apply(clone, treated)
    apply(clone, treated)
    assert clone.expci("record", *SLOT).returncode == 0
    assert len(clone.arrived()) == 1
    done = clone.expci("record", *SLOT)
    assert done.returncode == 0
    assert "no trial was begun" in done.stderr
    assert len(clone.arrived()) == 1


def test_a_later_job_undoes_what_an_earlier_one_left(clone: Clone, treated: str) -> None:
    before = clone.state()
    apply(clone, treated, GITHUB_RUN_ID="1", GITHUB_JOB="test")
    control = unit_of(publish(clone), "control")
    done = apply(clone, control, GITHUB_RUN_ID="2", GITHUB_JOB="test")
    assert "an earlier job here never recorded" in done.stderr
    assert_untouched(before, clone, index=False)


def test_a_slot_that_two_experiments_share(clone: Clone, tmp_path: Path) -> None:
    first = publish(clone)
    spec = (clone.root / "experiments/faster/experiment.yml").read_text()
    spec = spec.replace("    delete: [old.txt]\n", "")
    clone.write(
        {
            "experiments/other-one/experiment.yml": spec,
            "experiments/other-one/treatment/other.txt": "varied\n",
        }
    )
    clone.commit()
    before = clone.state()
    second = Clone(clone.root, clone.origin, "other-one", clone.environment)
    exposures = {"other-one": publish(second), "faster": first}
    clone.publish_all(exposures)
    unit = next(
        u
        for n in range(999)
        if all(
            assign(Rule(e.plan, e.salt, e.design, e.weights), u := f"u-{n}").arm == "treatment"
            for e in exposures.values()
        )
    )
    variables = tmp_path / "env"
    done = apply(clone, unit, GITHUB_ENV=str(variables))
    assert done.stdout == "faster treatment\nother-one treatment\n"
    assert "EXPCI_ARM_OTHER_ONE<<" in variables.read_text()
    assert "EXPCI_ARM<<" not in variables.read_text()
    assert (clone.root / "other.txt").read_text() == "varied\n"
    assert run_git(clone.root, "status", "--porcelain") == ""
    assert clone.expci("record", *SLOT, "--metric", "score=1").returncode == 0
    assert sorted(t.experiment for t in clone.arrived()) == ["faster", "other-one"]
    assert_untouched(before, clone, index=False)


def test_without_apply_it_only_tells(clone: Clone, treated: str) -> None:
    before = clone.state()
    done = clone.expci("assign", "faster", "--unit", treated, "--explain")
    assert done.stdout == "treatment\n"
    assert "arm draw" in done.stderr
    assert_untouched(before, clone)
    assert clone.expci("record", "faster", "--status", "success").returncode == 0
    assert len(clone.arrived()) == 1


@pytest.mark.parametrize(
    ("environment", "unit"),
    [
        ({"GITHUB_RUN_ID": "42"}, {"run": "run-42"}),
        ({"GITHUB_RUN_ID": "42", "GITHUB_JOB": "t", "EXPCI_LEG": "3.12"}, {"job": "job-42-t-3.12"}),
        ({"GITHUB_RUN_ID": "42", "GITHUB_REF": "refs/pull/7/merge"}, {"pr": "pr-7"}),
        ({"GITHUB_RUN_ID": "42", "GITHUB_ACTOR": "octocat"}, {"actor": "actor-octocat"}),
        ({"GITHUB_RUN_ID": "42", "GITHUB_REF": "refs/heads/main"}, {"pr": None}),
    ],
)
def test_units_of_a_job(clone: Clone, environment: dict[str, str], unit: dict[str, str]) -> None:
    [(kind, name)] = unit.items()
    publish(clone, unit=kind)
    done = clone.expci("assign", *SLOT, "--json", env=environment)
    [assigned] = json.loads(done.stdout)["assignments"]
    assert assigned["unit"] == name
    assert (assigned["arm"] is None) == (name is None)


def test_traffic_and_empty_slots_leave_the_job_alone(clone: Clone) -> None:
    before = clone.state()
    publish(clone, traffic=0.0)
    assert apply(clone, "u-1").stdout == "faster\n"
    done = clone.expci("assign", "--slot", "nobody", "--unit", "x", "--apply")
    assert (done.returncode, done.stdout) == (0, "")
    assert_untouched(before, clone)


def test_an_unreachable_remote_never_fails_the_job(tmp_path: Path) -> None:
    clone = make_clone(tmp_path, "slot: review")
    clone.origin.rename(tmp_path / "away")
    done = clone.expci("assign", *SLOT, "--unit", "u", "--apply")
    assert (done.returncode, done.stdout) == (0, "")
    assert "could not be read" in done.stderr


def test_a_locked_index_leaves_the_checkout_whole(clone: Clone, treated: str) -> None:
    before = clone.state()
    lock = clone.root / ".git" / "index.lock"
    lock.touch()
    done = apply(clone, treated)
    assert done.stdout == "faster\n"
    lock.unlink()
    assert_untouched(before, clone)
    clone.expci("record", *SLOT)
    assert [trial.status for trial in clone.arrived()] == ["error"]


def test_a_link_on_the_way_is_never_followed(clone: Clone, treated: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (clone.root / "new dir").symlink_to(outside)
    assert apply(clone, treated).stdout == "faster\n"
    assert list(outside.iterdir()) == []


def test_line_endings_of_the_checkout(tmp_path: Path) -> None:
    clone = live_clone(tmp_path)
    clone.write({".gitattributes": "*.sh text eol=crlf\n"})
    run_git(clone.root, "add", ".gitattributes")
    run_git(clone.root, "commit", "-qm", "crlf")
    for path in ("tool.sh", "experiments/faster/treatment/tool.sh"):
        (clone.root / path).unlink()
    run_git(clone.root, "checkout", "--", ".")
    assert (clone.root / "tool.sh").read_bytes() == b"echo control\r\n"
    treated = unit_of(publish(clone), "treatment")
    assert apply(clone, treated).stdout == "faster treatment\n"
    assert (clone.root / "tool.sh").read_bytes() == b"echo treatment\r\n"
    clone.expci("record", *SLOT)
    assert (clone.root / "tool.sh").read_bytes() == b"echo control\r\n"
    assert [trial.status for trial in clone.arrived()] == ["ok"]
