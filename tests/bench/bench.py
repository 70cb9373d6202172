"""`make bench`: what a user waits for, as ratios measured in one run on one machine.

Prints each ratio with its target; ends with exit code 1 where one is missed and `--check`
was given.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from bench import scale  # noqa: E402
from support.repositories import Repository, git  # noqa: E402

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
    found = [*commands(), *ledgers(), *in_memory(), *simulation()]
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
    from support.stage import Stage

    repository = _repository(place)
    stage = Stage(repository)
    stage.begin(spec=SPEC)
    stage.pairs(10, 0.9, metrics={"cost_usd": 1.5})
    stage.auto()
    return repository.path


def _repository(place: Path) -> Repository:
    """A clone of a bare repository with a script."""
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
    return repository


def ledgers() -> list[Ratio]:
    """`expci analyze` of ledgers of 1,000 to 1,000,000 trials x 3 metrics against the bare work."""
    costs = {count: _analysis(count) for count in (1_000, 100_000, 1_000_000)}
    ratios = []
    for count, (analyze, bare) in costs.items():
        detail = (
            f"{analyze.cpu_s:.2f} s of processor time, {analyze.peak_mb:.0f} MB at the most; "
            f"git cat-file, msgspec and numpy {bare.cpu_s:.2f} s, {bare.peak_mb:.0f} MB"
        )
        name = f"`expci analyze`, {count:,} trials x 3 metrics / bare work"
        ratios.append(Ratio(name, analyze.cpu_s / bare.cpu_s, None, detail))
    start, few, many = (costs[count][0].cpu_s for count in (1_000, 100_000, 1_000_000))
    growth = math.log10((many - start) / (few - start))
    detail = "10 times the trials: 10 to this power times the time, without that of 1,000 trials"
    return [
        *ratios,
        Ratio("exponent of `expci analyze`, 100,000 to 1,000,000", growth, 1.05, detail),
    ]


def _analysis(count: int) -> tuple[scale.Cost, scale.Cost]:
    """The least of three costs of `expci analyze` and of the bare work, in turn."""
    with tempfile.TemporaryDirectory() as place:
        repository = _repository(Path(place))
        scale.with_trials(repository, count)
        analyze, bare = scale.analyze(repository.path), scale.bare(repository.path)
        costs = [(scale.cost_of(analyze), scale.cost_of(bare)) for _ in range(3)]
    ours, theirs = zip(*costs, strict=True)
    return min(ours, key=lambda cost: cost.cpu_s), min(theirs, key=lambda cost: cost.cpu_s)


def in_memory() -> list[Ratio]:
    """`analyse` of 1,000 experiments of 1,000 trials x 3 metrics against Welch's t of each."""
    import numpy as np

    from expci.core.dataset.recorded import trial_columns
    from expci.core.model.experiment import Limit, Metric
    from support.analysis_samples import SUCCESS, look_at_columns, make_experiment, make_trial

    cost = Metric("cost", "guardrail", "mean", "decrease", max_regression=Limit(0.05, True))
    experiment = make_experiment(others=(SUCCESS, cost), sample_size=10**4)
    rng, arms = np.random.default_rng(1), ("control", "treatment")
    times, dollars = np.exp(rng.normal(3, 0.3, 1000)), rng.normal(10, 1, 1000)
    columns = trial_columns(
        [
            make_trial(n, arms[n % 2], metrics={"duration_s": float(t), "cost": float(d)})
            for n, (t, d) in enumerate(zip(times, dollars, strict=True))
        ]
    )

    def welch() -> None:
        for column in (np.log(times), dollars, np.ones(1000)):
            a, b = column[::2], column[1::2]
            variance = a.var(ddof=1) / a.size + b.var(ddof=1) / b.size
            (b.mean() - a.mean()) / np.sqrt(variance + 1e-300)

    ours, plain = _best(lambda: look_at_columns(experiment, columns)), _best(welch)
    detail = f"{ours * 1000:.0f} s for 1,000 experiments with every look's evidence and all checks"
    return [
        Ratio("`analyse`, 1,000 trials x 3 metrics in memory / Welch t", ours / plain, None, detail)
    ]


def _best(work: Callable[[], object], rounds: int = 7) -> float:
    """The least processor time of these rounds."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
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
    bare = scale.cost_of(BARE).cpu_s
    took = _best(lambda: first_decisions(experiment, trials, 50), 3)
    detail = f"{took:.2f} s for 200,000 looks at the whole decision table with three metrics"
    return [
        Ratio("2,000 simulated experiments of 2 x 50 trials / bare import", took / bare, 5, detail)
    ]


if __name__ == "__main__":
    sys.exit(main())
