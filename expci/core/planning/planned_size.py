"""The size of a plan: from a pilot or a baseline by the formula, confirmed by simulation.

Heavy imports stand where they are used, so that reading a plan stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from expci.core.model.experiment import Experiment
from expci.core.planning.settled import settled
from expci.core.statistics.sample_size import (
    Spread,
    as_spread,
    required_sample_size,
)

if TYPE_CHECKING:
    from expci.core.dataset.trial_columns import TrialColumns
    from expci.core.dataset.trials_table import TrialsTable
    from expci.core.planning.cases_needed import CasesNeeded
    from expci.core.planning.scenarios import Source


@dataclass(frozen=True)
class NeededSize:
    """What the sample size comes from: the spread, the formula's size and the confirmed one."""

    spread: Spread | None
    basis: str
    computed: int | None
    confirmed: int | None
    reached: bool = True


def cases_of_plan(
    experiment: Experiment, pilot: TrialColumns, needed: NeededSize
) -> CasesNeeded | None:
    """Return how many of the cases a decision needs; `None` where the experiment has none.

    >>> from support.examples import NO_TRIALS, planned
    >>> size = NeededSize(None, "unknown", None, None)
    >>> cases_of_plan(planned().experiment, NO_TRIALS, size) is None
    True
    """
    if experiment.cases is None:
        return None
    from expci.core.planning.cases_needed import cases_needed

    table = pilot_of_plan(experiment, pilot) if pilot else None
    return cases_needed(experiment, table, needed.spread)


def pairs_of_cases(confirmed: int | None, cases: CasesNeeded | None) -> int | None:
    """Return pairs at most: what the cases need, as repeats on them count for less than new ones.

    `None` where no size was confirmed.

    >>> pairs_of_cases(38, None)
    38
    """
    if confirmed is None or cases is None or cases.pairs is None:
        return confirmed
    return max(confirmed, cases.pairs)


def settled_experiment(experiment: Experiment, pilot: TrialColumns) -> Experiment:
    """Return the experiment with what `inference: auto` becomes by a pilot or the stated baseline.

    >>> from support.examples import NO_TRIALS, planned
    >>> experiment = planned(inference_basis="no_size").experiment
    >>> settled_experiment(experiment, NO_TRIALS).plan.inference
    'group-sequential'
    """
    return settled(experiment, _pilot_spread(experiment, pilot)[0])


def frozen_experiment(experiment: Experiment, pilot: TrialColumns) -> tuple[Experiment, int | None]:
    """Return the experiment as its plan keeps it, and its sample size, confirmed by simulation.

    The size is `None` where nothing tells it. Planned looks are spread over a size, so a computed
    one then stands in the plan as if it were stated.

    >>> from support.examples import NO_TRIALS, planned
    >>> plan, size = frozen_experiment(planned(inference_basis="no_size").experiment, NO_TRIALS)
    >>> plan.plan.sample_size == size, plan.plan.inference
    (True, 'group-sequential')
    """
    experiment = settled_experiment(experiment, pilot)
    if experiment.plan.sample_size is not None:
        return experiment, None
    needed = needed_size(experiment, pilot, source_of_plan(experiment, pilot), None)
    size = pairs_of_cases(needed.confirmed, cases_of_plan(experiment, pilot, needed))
    if experiment.plan.inference_basis == "computed_size":
        experiment = replace(experiment, plan=replace(experiment.plan, sample_size=size))
    return experiment, size


def constant_of_pilot(experiment: Experiment, source: Source | None) -> set[str]:
    """Return the metrics that the simulation leaves out: the pilot's values never vary.

    >>> from support.examples import planned
    >>> constant_of_pilot(planned().experiment, None)
    set()
    """
    if source is None:
        return set()
    from expci.core.planning.scenarios import constant_metrics

    return set(constant_metrics(experiment, source))


def source_of_plan(experiment: Experiment, pilot: TrialColumns) -> Source | None:
    """Return what simulated runs are drawn from; `None` without a baseline or enough of a pilot.

    >>> from support.examples import NO_TRIALS, planned
    >>> source_of_plan(planned().experiment, NO_TRIALS).unknown
    ()
    """
    from expci.core.planning import scenarios as scenario

    if len(experiment.arms) < 2:
        return None
    return scenario.source_of(experiment, pilot)


def needed_size(
    experiment: Experiment,
    pilot: TrialColumns,
    source: Source | None,
    experiments: int | None,
) -> NeededSize:
    """Return the formula's size and that at which the whole decision table has the plan's power.

    Each candidate is simulated in that many `experiments` (2,000).

    >>> from support.examples import NO_TRIALS, planned
    >>> experiment = settled_experiment(planned().experiment, NO_TRIALS)
    >>> source = source_of_plan(experiment, NO_TRIALS)
    >>> needed = needed_size(experiment, NO_TRIALS, source, 200)
    >>> needed.computed, needed.confirmed, needed.reached
    (38, 38, True)
    """
    spread, basis = _pilot_spread(experiment, pilot)
    rules, design = experiment.effective_rules, experiment.assignment.design
    if spread is None:
        return NeededSize(None, basis, None, None)
    computed = required_sample_size(
        experiment.primary, rules, design, spread, experiment.arm_weights
    )
    if computed is None:
        return NeededSize(spread, basis, None, None)
    size = max(computed, rules.min_trials)
    if source is None:
        return NeededSize(spread, basis, computed, size)
    from expci.core.planning import operating_characteristics as operating

    count = experiments or operating.usual_experiments(experiment)
    free = replace(experiment, plan=replace(experiment.plan, sample_size=None))
    confirmation = operating.confirmed_size(operating.Question(free, source, size, None, count))
    confirmed, reached = confirmation or (size, True)
    return NeededSize(spread, basis, computed, confirmed, reached)


def _pilot_spread(experiment: Experiment, pilot: TrialColumns) -> tuple[Spread | None, str]:
    stated = experiment.primary.baseline
    if pilot:
        from expci.core.kinds import measured_spread

        table = pilot_of_plan(experiment, pilot)
        measured = measured_spread(experiment.primary, table, experiment.timeout_s)
        if measured is not None:
            return measured, "pilot"
    if stated is not None:
        return as_spread(experiment.primary, stated), "baseline"
    return None, "unknown"


def pilot_of_plan(experiment: Experiment, pilot: TrialColumns) -> TrialsTable:
    """Return the pilot's trials by arm, as pairs where the design pairs them.

    >>> from support.examples import NO_TRIALS, planned
    >>> len(pilot_of_plan(planned().experiment, NO_TRIALS))
    0
    """
    from expci.core.dataset.trials_table import pilot_table

    names = tuple(arm.name for arm in experiment.arms)
    return pilot_table(pilot, names, experiment.assignment.design == "paired")
