"""False alarms where nothing differs: of the evidence, and of the whole decision table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from tables import is_above, share, table
from worlds import UNIT_SIZE, WORLDS, World, draw, experiment

from expci.core.planning.simulation import VERDICTS, Simulation

ALPHA = 0.05
SIZE = 200  # units per arm
CLUSTERS = 40  # units per arm where each has several trials
EXPERIMENTS = 3000
CHUNK = 250
INFERENCES = ("anytime", "fixed", "group-sequential")


@dataclass(frozen=True)
class Setting:
    world: World
    design: str
    autocorrelated: bool = False
    clustered: bool = False

    @property
    def size(self) -> int:
        return CLUSTERS if self.clustered else SIZE

    @property
    def trials(self) -> int:
        """Enough for every arm to have its units in nearly all experiments."""
        if self.clustered:
            return 2 * (CLUSTERS + 10) * UNIT_SIZE
        if self.design == "paired":
            return 2 * SIZE
        slack = 4 * math.sqrt(SIZE) if self.design == "randomized" else 1
        return math.ceil((SIZE + slack) * sum(self.world.weights) / min(self.world.weights))

    @property
    def words(self) -> tuple[str, str, str]:
        noise = ", runner noise" if self.design == "blocked" else ""
        units = f", {UNIT_SIZE} trials a unit" if self.clustered else ""
        dependence = "autocorrelated" if self.autocorrelated else "independent"
        return self.world.name, self.design + noise + units, dependence


def settings() -> list[Setting]:
    found = [
        Setting(world, design, autocorrelated)
        for world in WORLDS
        for design in ("randomized", "paired", "blocked")
        for autocorrelated in (False, True)
        if design != "paired" or world.weights == (1.0, 1.0)
    ]
    single = (w for w in WORLDS if w.kind != "proportion" and w.weights == (1.0, 1.0))
    return found + [Setting(world, "randomized", clustered=True) for world in single]


@dataclass(frozen=True)
class Mistakes:
    """Shares of experiments: any effect shown, any harm shown, promoted, rolled back."""

    effect: float
    harm: float
    promote: float
    rollback: float


def mistakes(setting: Setting, inference: str, experiments: int) -> Mistakes:
    plan = experiment(setting.world, setting.design, inference, setting.size)
    rng, counts = np.random.default_rng(7), np.zeros(4)
    for _ in range(experiments // CHUNK):
        trials = draw(
            setting.world,
            plan,
            (CHUNK, setting.trials),
            setting.autocorrelated,
            setting.clustered,
            rng,
        )
        decided = Simulation(plan, trials, setting.size)
        verdict = decided.outcomes().verdict
        counts += [
            decided.proves_effect().sum(),
            decided.proves_harm().sum(),
            (verdict == VERDICTS.index("promote")).sum(),
            (verdict == VERDICTS.index("rollback")).sum(),
        ]
    return Mistakes(*(counts / (experiments // CHUNK * CHUNK)))


HEADER = (
    *("values", "design", "dependence", "inference"),
    *("effect shown", "harm shown", "promoted", "rolled back"),
)


def section(scale: float) -> str:
    experiments = max(CHUNK, int(EXPERIMENTS * scale) // CHUNK * CHUNK)
    rows, above = [], []
    for setting in settings():
        for inference in INFERENCES:
            found = mistakes(setting, inference, experiments)
            numbers = (found.effect, found.harm, found.promote, found.rollback)
            shown = [share(value, experiments, ALPHA) for value in numbers]
            rows.append([*setting.words, inference, *shown])
            if any(is_above(value, experiments, ALPHA) for value in numbers):
                above.append(", ".join((*setting.words, inference)))
            print(".", end="", flush=True)
    print()
    return "\n".join([_words(experiments), table(HEADER, rows), _conclusion(above)])


def _words(experiments: int) -> str:
    return f"""
## False alarms

No effect anywhere. One primary metric and two guardrails, alike and independent, alpha {ALPHA}.
A look after every trial (every pair) until {SIZE} per arm; {CLUSTERS} units per arm where a unit
has several trials. `promote_at` and `max_regression` are 0, so that the evidence alone decides;
every real plan requires more. {experiments} experiments a row.

- *effect shown*: two-sided evidence on the primary reached alpha at some look; limit {ALPHA}.
- *harm shown*: one-sided evidence of harm to any of the three reached alpha/3 at some look;
  limit {ALPHA}. It is weighed at every look in every mode.
- *promoted*, *rolled back*: verdicts of the whole decision table; limit {ALPHA} each.

Autocorrelated noise is a first-order autoregression with coefficient 0.5 from trial to trial
in the ledger's order, whatever the arm. Runner noise: each trial meets one of three models of
runners, 0.6 standard deviations apart. Pairs share a noise as large as their own.
"""


def _conclusion(above: list[str]) -> str:
    if not above:
        return "Nothing is above its limit."
    listed = "\n".join(f"- {line}" for line in above)
    return f"""\
Above a limit by more than three errors:

{listed}

{_WHY if any("autocorrelated" in line for line in above) else ""}"""


_WHY = """\
Autocorrelation alone is harmless where the same drift affects both arms: it cancels, in pairs
and in blocks more than in plain randomisation. Where one arm's values swing three times as far
with the same drift it does not cancel, and no test that takes trials to be independent keeps
its level. It shows as a variance ratio far from 1 together with control drift; then take fewer,
independent units (`unit: job` or `pr`), or metrics that do not drift (durations are compared
by their logarithms, on which a slower arm swings no further).
"""
