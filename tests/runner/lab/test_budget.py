"""A budget that several jobs use up at once: real processes, one origin."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expci.core.model.content import Blob
from expci.core.model.trial import Trial, derived_trial_id
from expci.runner.lab import budget
from expci.runner.lab.trial import run_trials
from expci.runner.lab.trial_settings import TrialOptions
from expci.runner.published_copy import fetch_published, remote_of
from expci.store.git import refs
from expci.store.git.git import Git
from support.clones import Clone, make_clone, run_git
from support.processes import HANG_S

MOST, PAIR = 10.0, 2.0  # each run costs 1
RUN = "run: sleep 0.2; echo cost_usd=1 > $EXPCI_METRICS\nbudget: {metric: cost_usd, most: 10}"


def clone_with(tmp_path: Path, keys: str = RUN) -> Clone:
    clone = make_clone(tmp_path, keys)
    clone.publish()
    return clone


def trial(clone: Clone, *arguments: str, **environment: str) -> dict[str, Any]:
    done = clone.expci("trial", "faster", "--json", *arguments, env=environment)
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def spent(clone: Clone) -> float:
    return sum(one.metrics.get("cost_usd", 0.0) for one in clone.arrived())


def leg(clone: Clone, directory: Path) -> Clone:
    """Another job: its own clone of the same origin."""
    run_git(clone.root.parent, "clone", "-q", str(clone.origin), str(directory))
    (directory.parent / f"tmp-{directory.name}").mkdir()
    own = {"TMPDIR": str(directory.parent / f"tmp-{directory.name}")}
    return Clone(directory, clone.origin, environment={**clone.environment, **own})


def test_no_pair_starts_beyond_the_budget(tmp_path: Path) -> None:
    clone = clone_with(tmp_path)
    result = trial(clone, "--pairs", "20")
    assert len(result["trials"]) == 10
    assert result["sent"] == 10
    assert result["exit_code"] == 0
    assert any("$10 of the budget of $10 are spent" in text for text in result["warnings"])
    again = trial(clone)
    assert again["trials"] == []
    assert any("nothing more is run" in text for text in again["warnings"])


def test_two_jobs_at_once_overspend_by_at_most_one_pair_each(tmp_path: Path) -> None:
    clone = clone_with(tmp_path)
    legs = [leg(clone, tmp_path / name) for name in ("one", "two")]
    processes = [one.popen("trial", "faster", "--pairs", "20") for one in legs]
    for process in processes:
        _, errors = process.communicate(timeout=HANG_S)
        assert process.returncode == 0, errors
        assert "nothing more is run" in errors
    made = {one.context.get("sha", "") for one in clone.arrived()}
    assert made
    assert MOST <= spent(clone) < MOST + 2 * PAIR
    blocks = {one.block for one in clone.arrived()}
    assert len(clone.arrived()) == 2 * len(blocks)  # every pair is whole
    # Both took part: one alone would have stopped at the budget to the cent.
    assert trial(leg(clone, tmp_path / "late"))["trials"] == []


def record(number: int, cost: float, plan: str) -> Trial:
    return Trial(
        id=derived_trial_id(str(number)),
        experiment="faster",
        plan=plan,
        mode="lab",
        arm="control",
        unit=str(number),
        started="2026-11-22T10:00:00.000Z",
        metrics={"cost_usd": cost},
    )


def in_ledger(clone: Clone, lines: list[str]) -> None:
    git = clone.git
    data = "".join(line + "\n" for line in lines).encode()
    [oid] = git.write_blobs([data])
    path = "experiments/faster/trials/000000001-0123456789abcdef.jsonl"
    tree = git.write_tree(None, {path: Blob("100644", oid)})
    commit = git.require(git.commit_tree(tree, [], "ledger"))
    run_git(clone.root, "push", "-q", "--no-verify", "origin", f"+{commit}:{refs.LEDGER}")


def test_what_the_ledger_holds_counts_once_and_only_for_its_plan(tmp_path: Path) -> None:
    clone = clone_with(tmp_path)
    plan = clone.publish().plan
    other = record(3, 500.0, "f" * 64)
    in_ledger(clone, [record(1, 3.0, plan).line(), record(2, 3.0, plan).line(), other.line()])
    result = trial(clone, "--pairs", "20")  # 6 are spent: two pairs more
    assert len(result["trials"]) == 4
    # What the pass has folded and not yet deleted from the inbox is in both.
    arrived = [one.line() for one in clone.arrived()]
    in_ledger(clone, [*arrived, record(1, 3.0, plan).line()])
    assert len(trial(clone, "--pairs", "20")["trials"]) == 4  # 4 + 3 = 7, then 9, then 11


def test_a_budget_that_nothing_reports_is_said_after_the_first_pair(tmp_path: Path) -> None:
    clone = clone_with(tmp_path, "run: 'true'\nbudget: {metric: cost_usd, most: 10}")
    result = trial(clone, "--pairs", "5")
    assert len(result["trials"]) == 2
    assert any("no run reported cost_usd" in text for text in result["warnings"])


@pytest.mark.parametrize("metric", ["cost_usd", "duration_s"])
def test_what_a_failure_of_the_infrastructure_has_cost_counts(tmp_path: Path, metric: str) -> None:
    """Each attempt of a pair costs: the run that ends with 75 too."""
    work = f"touch {tmp_path}/x; sleep 0.3; echo cost_usd=3 > $EXPCI_METRICS; exit 75"
    most = 5 if metric == "cost_usd" else 0.5
    clone = clone_with(tmp_path, f"run: {work}\nbudget: {{metric: {metric}, most: {most}}}")
    trial(clone, EXPCI_RETRY_SECONDS="0")
    errors = [one for one in clone.arrived() if one.status == "error"]
    assert len(errors) == 4
    assert all(set(one.metrics) == {metric} for one in errors)
    assert trial(clone)["trials"] == []


def offline(clone: Clone, out: Path, **environment: str) -> subprocess.Popen[str]:
    """The step of the lab action that reaches no remote, as a process of its own."""
    script = (
        "import os, sys; from pathlib import Path\n"
        "from expci.runner.lab.trial import run_trials\n"
        "from expci.runner.lab.trial_settings import TrialOptions\n"
        "r = run_trials(TrialOptions('faster', Path('.'), dict(os.environ), pairs=20,"
        f" to={str(out)!r}, offline=True))\n"
        "print(len(r.trials))"
    )
    return subprocess.Popen(
        ["python3", "-S", "-c", script],
        cwd=clone.root,
        env={**clone.environment, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_step_without_a_remote_knows_what_the_step_before_it_read(tmp_path: Path) -> None:
    clone = clone_with(tmp_path)
    trial(clone, "--pairs", "3")
    git, environment = Git.at(clone.root), clone.environment
    budget.remember(remote_of(git, None, "", environment), refs.LEDGER, "faster")
    out = tmp_path / "out.jsonl"
    run_git(clone.root, "remote", "set-url", "origin", str(tmp_path / "nowhere"))
    printed, errors = offline(clone, out).communicate(timeout=HANG_S)
    assert printed.split()[-1:] == ["4"], errors  # 6 were spent before it
    assert len(out.read_text().splitlines()) == 4
    (git.private_dir / "spent/faster.json").unlink()
    _, errors = offline(clone, out).communicate(timeout=HANG_S)
    assert "nothing is run against its budget" in errors


def test_runs_of_the_ci_before_a_fold_overspend_by_a_pair_each(tmp_path: Path) -> None:
    """Real processes at once, that know only what was spent before: 2 of 10, by run 6."""
    clone = clone_with(tmp_path)
    lab = {"GITHUB_WORKFLOW": "lab", "GITHUB_JOB": "trials", "GITHUB_ACTIONS": "true"}
    trial(clone, **lab, GITHUB_RUN_ID="900", GITHUB_RUN_NUMBER="6")
    made = {}
    for number in ("7", "8", "9"):
        made[number] = leg(clone, tmp_path / f"run-{number}"), tmp_path / f"{number}.jsonl"
        remote = remote_of(Git.at(made[number][0].root), None, "", clone.environment)
        fetch_published(remote)
        budget.remember(remote, refs.LEDGER, "faster")
    processes = [
        offline(one, out, **lab, GITHUB_RUN_ID=f"90{number}", GITHUB_RUN_NUMBER=number)
        for number, (one, out) in made.items()
    ]
    for process in processes:
        _, errors = process.communicate(timeout=HANG_S)
        assert process.returncode == 0, errors
    # 8 are left: 4, 4/3 and 2/3 of them, each to the end of the pair that it is in.
    costs = [len(out.read_text().splitlines()) for _, out in made.values()]
    assert costs == [4, 2, 2]
    assert PAIR + sum(costs) <= MOST + 3 * PAIR


def test_before_the_first_fold_every_run_of_the_ci_makes_a_pair(tmp_path: Path) -> None:
    """None of them knows where the plan began, and however many there are, each starts one."""
    clone = clone_with(tmp_path)
    git, lab = Git.at(clone.root), {"GITHUB_WORKFLOW": "lab", "GITHUB_ACTIONS": "true"}
    remote = remote_of(git, None, "", clone.environment)
    fetch_published(remote)
    budget.remember(remote, refs.LEDGER, "faster")
    costs = []
    for number in ("41", "42", "43"):
        out = tmp_path / f"{number}.jsonl"
        run = {"GITHUB_RUN_ID": f"9{number}", "GITHUB_RUN_NUMBER": number, "GITHUB_JOB": "trials"}
        _, errors = offline(clone, out, **lab, **run).communicate(timeout=HANG_S)
        costs.append(len(out.read_text().splitlines()))
        assert "nothing more is run" not in errors
    assert costs == [2, 2, 2]


def test_an_origin_that_goes_away_leaves_the_job_s_own_spending(tmp_path: Path) -> None:
    clone = clone_with(tmp_path)
    hide = f"mv {clone.origin} {clone.origin}.gone 2>/dev/null || true"
    work = f"{hide}; echo cost_usd=1 > $EXPCI_METRICS"
    result = trial(clone, "--pairs", "20", "--", "sh", "-c", work)
    assert len(result["trials"]) == 10
    assert any("only this job's own is added" in text for text in result["warnings"])


def test_a_pilot_is_outside_the_budget(tmp_path: Path) -> None:
    clone = clone_with(tmp_path)
    assert len(trial(clone, "--pilot", "--pairs", "6")["trials"]) == 12


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_that_cannot_see_one_another_overspend_by_a_pair_each(
    tmp_path: Path, parts: int
) -> None:
    """Artifact transport: no job reads what the others of its matrix spend meanwhile.

    A run costs 1, 4 of the 10 are spent before; each part may use an equal share of the other 6.
    """
    clone = make_clone(tmp_path, f"{RUN}\ncases: evals/*")
    clone.write({f"evals/case-{number}": "task" for number in range(12)})
    clone.commit("cases")
    clone.publish(unit="case")
    trial(clone, "--pairs", "2")
    remote = remote_of(clone.git, None, "", {})
    budget.remember(remote, "refs/expci/ledger", "faster")
    options = TrialOptions("faster", clone.root, clone.environment, pairs=8, offline=True)
    costs = []
    for part in range(1, parts + 1):
        own = replace(options, part=f"{part}/{parts}", to=str(tmp_path / f"{part}.jsonl"))
        result = run_trials(own)
        costs.append(sum(one.metrics["cost_usd"] for one in result.trials))
        assert any("this job may take it to" in text for text in result.warnings)
    assert all(6 / parts <= cost < 6 / parts + PAIR for cost in costs)
    assert 4 + sum(costs) <= MOST + parts * PAIR


def test_one_part_alone_may_use_all_that_is_left(tmp_path: Path) -> None:
    clone = clone_with(tmp_path)
    trial(clone)
    budget.remember(remote_of(clone.git, None, "", {}), "refs/expci/ledger", "faster")
    options = TrialOptions("faster", clone.root, clone.environment, pairs=8, offline=True)
    result = run_trials(replace(options, to=str(tmp_path / "all.jsonl")))
    assert len(result.trials) == 8
