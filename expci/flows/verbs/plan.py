"""`expci plan`: what an experiment needs and can see, before a trial is spent."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from expci.core.lifecycle.transitions import Life
from expci.core.model.cases import BadCases
from expci.core.model.content import plan_id, variant_files
from expci.core.model.experiment import Experiment, Limit
from expci.core.model.results import Analysis
from expci.core.model.trial import Trial
from expci.core.model.trial_reader import parse_line
from expci.core.planning.design_report import PlanReport, plan_report
from expci.core.planning.planned_size import frozen_experiment, settled_experiment
from expci.core.spec.advice import advise
from expci.core.spec.variant_paths import varied_paths
from expci.core.spelling import suggestion
from expci.errors import ExpciError
from expci.flows.context import Context
from expci.flows.experiment.stored_analysis import current_analysis
from expci.flows.freeze_plan import with_cases
from expci.flows.lookup import ledger_with_inbox
from expci.flows.verbs.validate import read_experiments
from expci.runner.record.importing import Target, read_lines
from expci.store.cases import working_tree
from expci.store.git import bounded
from expci.store.ledger.plans import Plan
from expci.store.local import pilot

if TYPE_CHECKING:
    from expci.core.dataset.trial_columns import TrialColumns

_EFFECT = re.compile(r"([-+−]?(?:\d+\.?\d*|\.\d+))\s*(%?)")

MOST_PILOT_BYTES = 100_000_000


@dataclass(frozen=True)
class PlannedDesign:
    """The design report, with its sources, and how far the experiment has come.

    `running` is the experiment as its latest plan froze it, `None` before the first start; `look`
    a look at that plan. `is_current` is whether that plan has the content on disk.
    """

    experiment: Experiment
    report: PlanReport
    varied: tuple[str, ...]
    life: Life = field(default_factory=Life)
    running: Experiment | None = None
    look: Analysis | None = None
    is_current: bool = False


def plan(
    app: Context,
    name: str,
    *,
    pilot_file: Path | None = None,
    experiments: int | None = None,
    effects: Sequence[Limit] = (),
    before_simulation: Callable[[], None] = lambda: None,
) -> PlannedDesign:
    """The design report of an experiment in the working directory.

    Its operating characteristics come from that many simulated `experiments`; `effects`
    are improvements of the primary to ask about besides the usual scenarios.
    `before_simulation` is called once nothing but the simulation is left to do.
    """
    # Statistics, which a start without a pilot does not wait for.
    from expci.core.analysis.rate import measured_rate
    from expci.core.dataset.recorded import trial_columns

    _, on_disk = read_experiments(app.root)
    if name not in on_disk:
        hint = suggestion(name, on_disk, f"`expci create {name}` makes one")
        raise ExpciError(f"no experiment {name!r} in the working directory; {hint}")
    entry = on_disk[name][0]
    experiment = entry.reading.experiment
    if experiment is None:
        listed = "\n".join(f"  {problem}" for problem in entry.reading.problems)
        raise ExpciError(f"{name} is not valid:\n{listed}")
    experiment = _with_cases(app, experiment)
    frozen = experiment.cases.frozen if experiment.cases else ()
    ledger = ledger_with_inbox(app)
    history = ledger.columns(name)
    trials = trial_columns(_pilot(app, experiment, pilot_file)) or history
    _possible(experiment, effects)
    content = plan_id(variant_files(experiment.arms, entry.tree), frozen)
    before_simulation()
    report = plan_report(
        experiment,
        trials,
        measured_rate(history, app.clock()),
        experiments=experiments,
        effects=effects,
        spent=_spent(experiment, history, content),
        compare=True,
    )
    paths = varied_paths(experiment, entry.tree)
    advice = (*advise(experiment, paths), *report.advice)
    report = replace(report, advice=tuple(dict.fromkeys(advice)))
    life, current = ledger.life(name), ledger.plan(name)
    return PlannedDesign(
        settled_experiment(experiment, trials),
        report,
        _all(paths),
        life,
        current.experiment if current else None,
        current_analysis(ledger, current, life, history, app.clock()) if current else None,
        is_current=life.plan == content,
    )


def _with_cases(app: Context, experiment: Experiment) -> Experiment:
    """The experiment with the cases that lie in the working directory."""
    if experiment.cases is None:
        return experiment
    try:
        return with_cases(app.git, working_tree(app.git, experiment.cases), experiment)
    except BadCases as error:
        raise ExpciError(f"cases: {error}") from error


def freeze_rules(app: Context, plan: Plan) -> tuple[Plan, int | None]:
    """The plan with what `inference: auto` becomes at the start, and the computed sample size.

    By the pilot on this machine or the stated baseline. The size is `None` where the file states
    one, or nothing tells.
    """
    trials = _pilot(app, plan.experiment, None)
    if not (trials or plan.experiment.primary.baseline):
        return plan, None
    from expci.core.dataset.recorded import trial_columns  # numpy, which others do not wait for

    experiment, size = frozen_experiment(plan.experiment, trial_columns(trials))
    return replace(plan, experiment=experiment), size


def _spent(experiment: Experiment, history: TrialColumns, plan: str) -> float:
    from expci.core.dataset.costs import budget_use

    return 0.0 if experiment.budget is None else budget_use(experiment.budget, history, plan).spent


def parse_effect(text: str) -> Limit:
    """`10%`, `-5%` or `0.3`: an improvement, negative where it is harm. `ValueError` else."""
    match = _EFFECT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an effect: write 10%, -5% or 0.3 (negative is harm)")
    value = float(match[1].replace("−", "-"))
    return Limit(value / 100, relative=True) if match[2] else Limit(value, relative=False)


def _possible(experiment: Experiment, effects: Sequence[Limit]) -> None:
    """Refuse effects that the metric cannot have."""
    primary = experiment.primary
    for effect in effects:
        change = effect.value * (1 if primary.direction == "increase" else -1)
        if primary.traits.is_logarithmic and effect.relative and change <= -1:
            raise ExpciError(f"{primary.name} cannot change by {effect}: write less than 100%")
        if primary.traits.is_share and abs(effect.value) >= 1:
            raise ExpciError(
                f"{primary.name} is a proportion and cannot change by {effect}: write "
                "percentage points, such as 5%"
            )


def _pilot(app: Context, experiment: Experiment, file: Path | None) -> list[Trial]:
    """Trials of the file that was named, else those that `expci trial --pilot` kept here."""
    if file is not None:
        arms = tuple(arm.name for arm in experiment.arms)
        paired = experiment.assignment.design == "paired"
        target = Target(experiment.id, "0" * 64, arms, "", paired)
        return read_lines(bounded.read_file(file, MOST_PILOT_BYTES), target)
    kept = pilot.pilot_path(app.git, experiment.id)
    lines = bounded.read_file(kept, MOST_PILOT_BYTES).splitlines() if kept.exists() else []
    return [trial for line in lines if isinstance(trial := parse_line(line), Trial)]


def _all(paths: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    return tuple(sorted({path for arm in paths.values() for path in arm}))
