"""The design report of a plan: how many trials, what they can see, how long they take.

Heavy imports stand where they are used, so that reading a plan stays quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from expci.core.model.budget import BudgetUse
from expci.core.model.experiment import Experiment, Inference, InferenceBasis, Limit
from expci.core.planning.plan_advice import PlanFigures, plan_advice
from expci.core.planning.planned_size import (
    NeededSize,
    cases_of_plan,
    constant_of_pilot,
    needed_size,
    pairs_of_cases,
    settled_experiment,
    source_of_plan,
)
from expci.core.planning.size_by_variation import SizeAtVariation, sizes_by_variation
from expci.core.statistics.sample_size import (
    Spread,
    detectable_effect,
    looks_cost,
    planned_power,
)

if TYPE_CHECKING:
    from expci.core.dataset.trial_columns import TrialColumns
    from expci.core.planning.cases_needed import CasesNeeded
    from expci.core.planning.inferences import InferenceNeeds
    from expci.core.planning.operating_characteristics import OperatingCharacteristics
    from expci.core.planning.scenarios import Source
_MOSTLY = 0.5  # of the experiments


@dataclass(frozen=True)
class PlannedSize:
    """Units per arm: as planned, as needed for the plan's power, and by the formula alone.

    `basis` is what tells of control: a pilot or a baseline.
    """

    per_arm: int | None
    needed: int | None
    computed: int | None
    basis: str


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """The `expci.plan/1` document; `None` where nothing tells.

    `sizes_by_variation` are there until a pilot or a baseline tells how much runs vary.
    """

    schema: str = "expci.plan/1"
    experiment: str
    inference: Inference
    inference_basis: InferenceBasis
    sample_size: PlannedSize
    minimum_detectable_effect: float | None
    power: float | None
    trials_per_day: float | None
    expected_days: float | None
    operating_characteristics: tuple[OperatingCharacteristics, ...] = ()
    inferences: tuple[InferenceNeeds, ...] = ()
    advice: tuple[str, ...] = ()
    budget: BudgetUse | None = None
    cases: CasesNeeded | None = None
    sizes_by_variation: tuple[SizeAtVariation, ...] = ()


def plan_report(
    experiment: Experiment,
    pilot: TrialColumns,
    trials_per_day: float | None,
    *,
    experiments: int | None = None,
    effects: Sequence[Limit] = (),
    spent: float = 0.0,
    compare: bool = False,
) -> PlanReport:
    """Return what this plan needs, can see and would do, from a pilot or the stated baselines.

    `effects` are improvements of the primary to simulate besides the usual ones, in that
    many `experiments` (2,000). `spent` is how much of the budget this plan's trials used; with
    `compare` it says what the other inferences would need.

    >>> from support.examples import NO_TRIALS, planned
    >>> report = plan_report(planned().experiment, NO_TRIALS, trials_per_day=20.0, experiments=200)
    >>> report.sample_size
    PlannedSize(per_arm=38, needed=38, computed=38, basis='baseline')
    """
    experiment = settled_experiment(experiment, pilot)
    source = source_of_plan(experiment, pilot)
    needed = needed_size(experiment, pilot, source, experiments)
    cases = cases_of_plan(experiment, pilot, needed)
    size = experiment.plan.sample_size or pairs_of_cases(needed.confirmed, cases)
    use = _budget_use(experiment, pilot, spent)
    trials = _most_trials(experiment, trials_per_day, use)
    rows = _characteristics(experiment, source, size, trials, experiments, effects)
    days = _expected_days(experiment, source, size, trials_per_day)
    power, detectable = _power_and_effect(experiment, needed.spread, size, rows, cases)
    figures = PlanFigures(needed, source, size, power, days, use, cases)
    return PlanReport(
        experiment=experiment.id,
        inference=experiment.plan.inference,
        inference_basis=experiment.plan.inference_basis,
        sample_size=PlannedSize(size, needed.confirmed, needed.computed, needed.basis),
        minimum_detectable_effect=detectable,
        power=power,
        trials_per_day=trials_per_day,
        expected_days=days,
        operating_characteristics=rows,
        inferences=_inferences(experiment, needed, source, experiments) if compare else (),
        advice=plan_advice(experiment, pilot, figures),
        cases=cases,
        budget=None if use is None else _with_likely_cost(experiment, use, size, rows),
        sizes_by_variation=tuple(sizes_by_variation(experiment, trials_per_day))
        if needed.spread is None
        else (),
    )


def _budget_use(experiment: Experiment, pilot: TrialColumns, spent: float) -> BudgetUse | None:
    budget = experiment.budget
    if budget is None:
        return None
    from expci.core.dataset.costs import mean_cost

    return BudgetUse(budget.metric, budget.most, spent, per_trial=mean_cost(budget, pilot))


def _most_trials(experiment: Experiment, rate: float | None, use: BudgetUse | None) -> int | None:
    """Trials that time and money allow; `None` where neither is given."""
    by_time = None if rate is None else rate * experiment.plan.max_days
    by_money = None if use is None or not use.per_trial else use.most / use.per_trial
    return min((int(most) for most in (by_time, by_money) if most is not None), default=None)


def _with_likely_cost(
    experiment: Experiment,
    use: BudgetUse,
    size: int | None,
    rows: Sequence[OperatingCharacteristics],
) -> BudgetUse:
    """The cost of the median way to a decision under the hoped effect, else of all trials.

    Of all trials too where the money ends that way first: no decision is as cheap as that.
    """
    row = next((row for row in rows if row.scenario == "hoped_effect"), None)
    ends_first = row is None or row.expire + row.undecided >= _MOSTLY
    median = size if row is None or ends_first else row.trials_median
    if median is None or use.per_trial is None:
        return use
    return replace(use, to_decision=median * len(experiment.arms) * use.per_trial)


def _inferences(
    experiment: Experiment, needed: NeededSize, source: Source | None, experiments: int | None
) -> tuple[InferenceNeeds, ...]:
    if needed.spread is None or experiment.cases is not None:  # which have but one
        return ()
    if experiment.primary.name in constant_of_pilot(experiment, source):
        return ()
    from expci.core.planning.inferences import inference_needs

    return inference_needs(experiment, needed.spread, source, experiments)


def _characteristics(
    experiment: Experiment,
    source: Source | None,
    size: int | None,
    trials: int | None,
    experiments: int | None,
    effects: Sequence[Limit],
) -> tuple[OperatingCharacteristics, ...]:
    constant = constant_of_pilot(experiment, source)
    if source is None or experiment.primary.name in constant:
        return ()
    from expci.core.planning import operating_characteristics as operating

    count = experiments or operating.usual_experiments(experiment)
    question = operating.Question(experiment, source, size, trials, count)
    further = (operating.scenario_of_effect(experiment, effect) for effect in effects)
    scenarios = (*operating.standard_scenarios(experiment), *further)
    rows = (
        operating.characteristics(question, scenario)
        for scenario in scenarios
        if scenario.guardrail is None or scenario.guardrail in source.values.keys() - constant
    )
    return tuple(row for row in rows if row is not None)


def _power_and_effect(
    experiment: Experiment,
    spread: Spread | None,
    size: int | None,
    rows: Sequence[OperatingCharacteristics],
    cases: CasesNeeded | None,
) -> tuple[float | None, float | None]:
    """Simulated power where there is one, else the formula's; the effect that size can see."""
    if spread is None or size is None:
        return None, None
    metric, rules = experiment.primary, experiment.effective_rules
    design, factor = experiment.assignment.design, looks_cost(metric, rules)
    each, units = (spread, size) if cases is None else cases.of_cases(spread, size)
    detectable = detectable_effect(metric, design, each, units, rules.alpha, rules.power, factor)
    hoped = next((row.promote for row in rows if row.scenario == "hoped_effect"), None)
    power = planned_power(metric, rules, design, spread, size) if hoped is None else hoped
    return power, detectable


def _expected_days(
    experiment: Experiment, source: Source | None, size: int | None, rate: float | None
) -> float | None:
    from expci.core.planning.scenarios import measured_share

    measured = measured_share(experiment, source)
    if size is None or not rate or not measured:
        return None
    return size * len(experiment.arms) / (rate * measured)
