"""`make bench`: what a user waits for, as ratios measured in one run on one machine.

Prints each ratio with its target; ends with exit code 1 where one is missed and `--check`
was given.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

BARE = [sys.executable, "-c", "import numpy, scipy.special"]
ROUNDS = 9
SPEC = """\
version: 1
name: Speed
hypothesis: The new script cuts the work's duration by 15% within 14 days.
run: ./work.sh
arms:
  control: {}
  treatment:
    files: treatment/
metrics:
  - {name: duration_s, role: primary, direction: decrease, minimum_effect: 15%}
  - {name: cost_usd, role: guardrail, direction: decrease}
plan:
  sample_size: 60
"""


@dataclass(frozen=True)
class Ratio:
    name: str
    value: float
    target: float | None
    detail: str

    @property
    def missed(self) -> bool:
        return self.target is not None and self.value > self.target

    def __str__(self) -> str:
        target = "" if self.target is None else f"   (target {self.target:g}x)"
        return f"{self.name:<58} {self.value:5.2f}x{target}\n    {self.detail}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a target is missed")
    options = parser.parse_args()
    found = [*commands(), *million(), *simulation()]
    for ratio in found:
        print(ratio)
    return int(options.check and any(ratio.missed for ratio in found))


def commands() -> list[Ratio]:
    """A cold `expci analyze` of 20 trials x 3 metrics against the bare import."""
    with tempfile.TemporaryDirectory() as place:
        path = _experiment(Path(place))
        analyze = [sys.executable, "-m", "expci", "analyze", "speed", "-C", str(path)]
        version = [sys.executable, "-c", "import expci.cli"]
        times = _interleaved([BARE, analyze, version])
        git = _git_calls(path)
    bare, whole, start = (statistics.median(column) for column in times)
    detail = (
        f"bare import {bare:.3f} s, analyze {whole:.3f} s, of which starting the command line "
        f"{start:.3f} s; {git} git processes"
    )
    return [
        Ratio("cold `expci analyze`, 20 trials x 3 metrics / bare import", whole / bare, 2, detail)
    ]


def _interleaved(programs: list[list[str]]) -> list[list[float]]:
    """Each program in turn, so that a busy machine is busy for all of them."""
    times: list[list[float]] = [[] for _ in programs]
    for round_number in range(ROUNDS + 1):
        for column, program in zip(times, programs, strict=True):
            began = time.perf_counter()
            subprocess.run(program, check=True, capture_output=True)
            if round_number:  # the first fills the disk's cache
                column.append(time.perf_counter() - began)
    return times


def _git_calls(path: Path) -> int:
    log = path.parent / "trace"
    environment = {**os.environ, "GIT_TRACE2_EVENT": str(log)}
    command = [sys.executable, "-m", "expci", "analyze", "speed", "-C", str(path)]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return log.read_text().count('"event":"version"')


def _experiment(place: Path) -> Path:
    """A clone with a running experiment and ten folded pairs."""
    from support.repositories import Repository, git
    from support.stage import Stage

    home = place / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n"
    )
    os.environ["HOME"] = str(home)
    git(place, "init", "-q", "--bare", "origin.git")
    git(place, "clone", "-q", "origin.git", "work")
    repository = Repository(place / "work", place / "origin.git")
    repository.write("work.sh", "sleep 0.01\n", executable=True)
    repository.commit("Start")
    repository.push("HEAD:main")
    stage = Stage(repository)
    stage.begin(spec=SPEC)
    stage.pairs(10, 0.9, metrics={"cost_usd": 1.5})
    stage.auto()
    return repository.path


def million() -> list[Ratio]:
    """One look at 1,000,000 trials x 3 metrics: the evidence after every trial, as `analyze` has
    it, against Welch's t at the end."""
    import numpy as np
    from scipy import special

    from expci.core.dataset.dataset import Dataset, dataset
    from expci.core.dataset.recorded import trial_columns
    from expci.core.dataset.selection import select
    from expci.core.dataset.trials_table import trials_table
    from expci.core.kinds import compare_by_kind
    from expci.core.kinds.contrast import Contrast
    from expci.core.model.experiment import Limit, Metric
    from expci.core.model.trial import Trial
    from expci.core.statistics.terms import Terms
    from support.analysis_samples import PLAN, SUCCESS, make_experiment

    cost = Metric("cost", "guardrail", "mean", "decrease", max_regression=Limit(0.05, True))
    experiment = make_experiment(others=(SUCCESS, cost), sample_size=10**7)
    rng, count = np.random.default_rng(1), 1_000_000
    arm, values = rng.integers(0, 2, count), rng.normal(10, 1, (2, count))
    arms = ("control", "treatment")
    rows = zip(arm.tolist(), np.exp(values[0] / 30).tolist(), values[1].tolist(), strict=True)
    trials = [
        Trial(
            *(f"{i:026d}", "faster", PLAN, "live", arms[a], f"run-{i}", "2026-11-01T00:00:00.000Z"),
            metrics={"duration_s": seconds, "cost": dollars},
        )
        for i, (a, seconds, dollars) in enumerate(rows)
    ]
    columns = trial_columns(trials)
    selection = select(columns, PLAN, arms)
    table = trials_table(columns, arms, False)
    terms = Terms(experiment, experiment.plan, 10**7, 0.025, False, dict.fromkeys(arms, 1.0))

    def statistics_of(data: Dataset) -> None:
        for metric in experiment.metrics:
            compare_by_kind(Contrast(metric, data, 1, terms))

    def welch() -> None:
        for column in (values[0], values[1], np.ones(count)):
            a, b = column[arm == 0], column[arm == 1]
            v, w = a.var(ddof=1) / a.size, b.var(ddof=1) / b.size
            special.stdtr(a.size + b.size - 2, (b.mean() - a.mean()) / np.sqrt(v + w + 1e-300))

    whole = dataset(experiment, selection, table)
    path, plain = _best(lambda: statistics_of(replace(whole, _paths={})), 3), _best(welch)
    return [
        Ratio(
            "1,000,000 trials x 3 metrics: evidence after every trial / Welch t",
            path / plain,
            None,
            f"{path:.2f} s for 3,000,000 looks, Welch {plain:.3f} s",
        )
    ]


def _best(work: Callable[[], object], rounds: int = 7) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def simulation() -> list[Ratio]:
    """The operating characteristics of one scenario of a plan, against a bare import."""
    import numpy as np

    from expci.core.kinds.trial_arrays import TrialArrays
    from expci.core.model.experiment import (
        Arm,
        Assignment,
        DecisionRules,
        Experiment,
        Limit,
        Metric,
        PlanRules,
    )
    from expci.core.planning.simulation import first_decisions

    metrics = tuple(
        Metric(name, role, "mean", "decrease", Limit(0.1, True))  # type: ignore[arg-type]
        for name, role in (("a", "primary"), ("b", "guardrail"), ("c", "guardrail"))
    )
    experiment = Experiment(
        *("bench", "", "", (Arm("control"), Arm("treatment")), metrics),
        *(Assignment(design="blocked"), PlanRules(sample_size=50), DecisionRules()),
    )
    rng = np.random.default_rng(2)
    arm = np.broadcast_to(np.arange(100) % 2, (2000, 100))
    values = {m.name: 10 + rng.standard_normal(arm.shape) for m in metrics}
    trials = TrialArrays(arm, 2, values, np.zeros(arm.shape, np.bool_))
    began = time.perf_counter()
    subprocess.run(BARE, check=True)
    bare = time.perf_counter() - began
    took = _best(lambda: first_decisions(experiment, trials, 50), 3)
    detail = f"{took:.2f} s for 200,000 looks at the whole decision table with three metrics"
    return [
        Ratio("2,000 simulated experiments of 2 x 50 trials / bare import", took / bare, 5, detail)
    ]


if __name__ == "__main__":
    sys.exit(main())
