"""The design report of a plan: how many trials, what they can see, how long they take.

Heavy imports stand where they are used, so that reading a plan stays quick.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from expci.core import number_format
from expci.core.model import limits
from expci.core.model.budget import BudgetUse
from expci.core.model.experiment import Experiment, Inference, InferenceBasis, Limit
from expci.core.planning.settled import settled
from expci.core.planning.size_by_variation import SizeAtVariation, sizes_by_variation
from expci.core.statistics.sample_size import (
    Spread,
    as_spread,
    detectable_effect,
    looks_cost,
    planned_power,
    required_sample_size,
)

if TYPE_CHECKING:
    from expci.core.dataset.trial_columns import TrialColumns
    from expci.core.dataset.trials_table import TrialsTable
    from expci.core.planning.cases_needed import CasesNeeded
    from expci.core.planning.inferences import InferenceNeeds
    from expci.core.planning.operating_characteristics import OperatingCharacteristics
    from expci.core.planning.scenarios import Source


DURATION, CPU_TIME = "duration_s", "cpu_s"
_MOSTLY = 0.5  # of the experiments
_COMPUTES = 0.2  # of its time: what a run that waits for nothing gets beside four others
_FAR_FEWER = 0.5


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


@dataclass(frozen=True)
class _Needed:
    """What the sample size comes from: the spread, the formula's size and the confirmed one."""

    spread: Spread | None
    basis: str
    computed: int | None
    confirmed: int | None
    reached: bool = True


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
    source = _source(experiment, pilot)
    needed = _needed(experiment, pilot, source, experiments)
    cases = _cases_needed(experiment, pilot, needed)
    size = experiment.plan.sample_size or _pairs_of_cases(needed.confirmed, cases)
    use = _budget_use(experiment, pilot, spent)
    trials = _most_trials(experiment, trials_per_day, use)
    rows = _characteristics(experiment, source, size, trials, experiments, effects)
    days = _expected_days(experiment, size, trials_per_day)
    power, detectable = _power_and_effect(experiment, needed.spread, size, rows, cases)
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
        advice=(
            *_advice(experiment, needed, source, size, power, days),
            *_pilot_advice(experiment, pilot),
            *_budget_advice(experiment, use, size),
            *_clock_advice(experiment, pilot, needed),
            *_case_advice(experiment, cases, source, size),
        ),
        cases=cases,
        budget=None if use is None else _with_likely_cost(experiment, use, size, rows),
        sizes_by_variation=tuple(sizes_by_variation(experiment, trials_per_day))
        if needed.spread is None
        else (),
    )


def _cases_needed(
    experiment: Experiment, pilot: TrialColumns, needed: _Needed
) -> CasesNeeded | None:
    if experiment.cases is None:
        return None
    from expci.core.planning.cases_needed import cases_needed

    table = _pilot_table(experiment, pilot) if pilot else None
    return cases_needed(experiment, table, needed.spread)


def _pairs_of_cases(confirmed: int | None, cases: CasesNeeded | None) -> int | None:
    """Pairs at most: what the cases need, where repeats on them count for less than new ones."""
    if confirmed is None or cases is None or cases.pairs is None:
        return confirmed
    return max(confirmed, cases.pairs)


def _case_advice(
    experiment: Experiment, cases: CasesNeeded | None, source: Source | None, size: int | None
) -> tuple[str, ...]:
    if cases is None:
        return ()
    from expci.core.planning.cases_needed import case_advice

    return (
        *case_advice(experiment, cases),
        *_must_pass_advice(experiment, cases, source is not None, size),
    )


def _must_pass_advice(
    experiment: Experiment, cases: CasesNeeded, is_simulated: bool, size: int | None
) -> Iterator[str]:
    """How often such a case fails by chance is not known: it is not as any other case."""
    if experiment.must_pass and is_simulated:
        yield (
            "must_pass is not in the simulation, where the treatment passes every case of it. One "
            "that fails a case which control passes is not promoted, whatever these shares say."
        )
    if experiment.must_pass and size is not None and size < cases.cases * cases.repeats:
        yield (
            f"{number_format.count(size, 'pair')} visit not all of "
            f"{number_format.count(cases.cases, 'case')}, and nothing is promoted before each case "
            f"of must_pass was run: `expci trial {experiment.id} --case NAME` runs those first."
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


def _budget_advice(
    experiment: Experiment, use: BudgetUse | None, size: int | None
) -> tuple[str, ...]:
    if use is None:
        return ()
    if use.per_trial is None:
        return (
            f"No run has reported {use.metric} yet, so what a decision costs is open: a pilot "
            "tells.",
        )
    payable = int(use.most / (use.per_trial * len(experiment.arms))) if use.per_trial > 0 else None
    if size is None or payable is None or payable >= size:
        return ()
    unit = "pairs" if experiment.assignment.design == "paired" else "trials per arm"
    each = number_format.amount_of(use.per_trial, use.metric)
    most = number_format.amount_of(use.most, use.metric)
    return (
        f"The budget of {most} pays for {payable} of the {size} {unit}, at {each} a run: raise "
        "it, or plan for a larger effect.",
    )


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
    needed = _needed(experiment, pilot, _source(experiment, pilot), None)
    size = _pairs_of_cases(needed.confirmed, _cases_needed(experiment, pilot, needed))
    if experiment.plan.inference_basis == "computed_size":
        experiment = replace(experiment, plan=replace(experiment.plan, sample_size=size))
    return experiment, size


def _source(experiment: Experiment, pilot: TrialColumns) -> Source | None:
    from expci.core.planning import scenarios as scenario

    if len(experiment.arms) < 2:
        return None
    return scenario.source_of(experiment, pilot)


def _needed(
    experiment: Experiment,
    pilot: TrialColumns,
    source: Source | None,
    experiments: int | None,
) -> _Needed:
    """The formula's size, then raised until the whole table has the plan's power."""
    spread, basis = _pilot_spread(experiment, pilot)
    rules, design = experiment.effective_rules, experiment.assignment.design
    if spread is None:
        return _Needed(None, basis, None, None)
    computed = required_sample_size(
        experiment.primary, rules, design, spread, experiment.arm_weights
    )
    if computed is None:
        return _Needed(spread, basis, None, None)
    size = max(computed, rules.min_trials)
    if source is None:
        return _Needed(spread, basis, computed, size)
    from expci.core.planning import operating_characteristics as operating

    count = experiments or operating.usual_experiments(experiment)
    free = replace(experiment, plan=replace(experiment.plan, sample_size=None))
    confirmation = operating.confirmed_size(operating.Question(free, source, size, None, count))
    confirmed, reached = confirmation or (size, True)
    return _Needed(spread, basis, computed, confirmed, reached)


def _inferences(
    experiment: Experiment, needed: _Needed, source: Source | None, experiments: int | None
) -> tuple[InferenceNeeds, ...]:
    if needed.spread is None or experiment.cases is not None:  # which have but one
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
    if source is None:
        return ()
    from expci.core.planning import operating_characteristics as operating

    count = experiments or operating.usual_experiments(experiment)
    question = operating.Question(experiment, source, size, trials, count)
    further = (operating.scenario_of_effect(experiment, effect) for effect in effects)
    scenarios = (*operating.standard_scenarios(experiment), *further)
    rows = (
        operating.characteristics(question, scenario)
        for scenario in scenarios
        if scenario.guardrail is None or scenario.guardrail in source.values
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


def _pilot_spread(experiment: Experiment, pilot: TrialColumns) -> tuple[Spread | None, str]:
    stated = experiment.primary.baseline
    if pilot:
        from expci.core.kinds import measured_spread

        table = _pilot_table(experiment, pilot)
        measured = measured_spread(experiment.primary, table, experiment.timeout_s)
        if measured is not None:
            return measured, "pilot"
    if stated is not None:
        return as_spread(experiment.primary, stated), "baseline"
    return None, "unknown"


def _pilot_table(experiment: Experiment, pilot: TrialColumns) -> TrialsTable:
    from expci.core.dataset.trials_table import pilot_table

    names = tuple(arm.name for arm in experiment.arms)
    return pilot_table(pilot, names, experiment.assignment.design == "paired")


def _expected_days(experiment: Experiment, size: int | None, rate: float | None) -> float | None:
    if size is None or not rate:
        return None
    return size * len(experiment.arms) / rate


def _advice(
    experiment: Experiment,
    needed: _Needed,
    source: Source | None,
    size: int | None,
    power: float | None,
    days: float | None,
) -> tuple[str, ...]:
    unit = "pairs" if experiment.assignment.design == "paired" else "trials per arm"
    advice = []
    if experiment.primary.minimum_effect is None:
        advice.append("No minimum_effect is stated, so no sample size can be computed.")
    elif needed.spread is None:
        advice.append(
            "Nothing tells how much the metric varies: record a pilot or state a baseline."
        )
    elif source is None:
        from expci.core.kinds.draws import LEAST_ROWS

        advice.append(
            f"Too few runs of control to simulate this plan: record {LEAST_ROWS} or more."
        )
    if power is not None and power < limits.HOPELESS_POWER and size and needed.confirmed:
        advice.append(_hopeless(experiment, needed, size, power, unit))
    if not needed.reached:
        advice.append(_out_of_reach(experiment, needed, unit))
    if size and experiment.effective_rules.min_trials >= size:
        advice.append(
            f"min_trials is the whole size ({size} {unit}), so nothing can be promoted before the "
            "last look, however clear it is: a smaller min_trials lets a clear win end it sooner."
        )
    if days is not None and days > experiment.plan.max_days:
        advice.append(
            f"At the present rate {size} {unit} take {number_format.days(days)}, and the plan ends "
            f"after {number_format.stated(experiment.plan.max_days)}: "
            "raise max_days, or plan for a larger effect."
        )
    return (*advice, *_not_simulated(experiment, source))


def _pilot_advice(experiment: Experiment, pilot: TrialColumns) -> tuple[str, ...]:
    """Where the pilot lies where calibration measured more than alpha."""
    if not pilot:
        return ()
    from expci.core.checks.assumptions import pilot_advice

    return pilot_advice(experiment, _pilot_table(experiment, pilot))


def _clock_advice(experiment: Experiment, pilot: TrialColumns, needed: _Needed) -> tuple[str, ...]:
    """Whether the processor's time would show the effect with far fewer runs than the wall's."""
    primary, wall = experiment.primary, needed.spread
    if primary.name != DURATION or not pilot or wall is None or not needed.computed:
        return ()
    from expci.core.kinds import measured_spread

    table, metric = _pilot_table(experiment, pilot), replace(primary, name=CPU_TIME)
    cpu = measured_spread(metric, table, experiment.timeout_s)
    if cpu is None or cpu.mean < _COMPUTES * wall.mean:
        return ()  # it waits, for a network or a disk, and that is part of what is compared
    size = required_sample_size(
        metric,
        experiment.effective_rules,
        experiment.assignment.design,
        cpu,
        experiment.arm_weights,
    )
    if size is None or size > _FAR_FEWER * needed.computed:
        return ()
    unit = "pairs" if experiment.assignment.design == "paired" else "trials per arm"
    return (
        f"The pilot's runs compute {number_format.frequency(cpu.mean / wall.mean)} of their time, "
        f"and {CPU_TIME} varies far less than {DURATION}: by the formula {size} {unit} see the "
        f"effect instead of {needed.computed}. Make {CPU_TIME} the primary metric if it is the "
        "work that is to get faster, and not what it waits for.",
    )


def _not_simulated(experiment: Experiment, source: Source | None) -> tuple[str, ...]:
    """What the simulation does not know, or does not do as the analysis will."""
    metrics = (experiment.primary, *experiment.guardrails)
    if source is None:
        return ()
    advice = []
    if source.unknown:
        names = ", ".join(source.unknown)
        advice.append(f"No values of {names}: simulated as though it never objected.")
    if any(metric.winsorize is not None for metric in metrics):
        advice.append("The simulation leaves winsorize out; with it less noise remains.")
    return tuple(advice)


def _hopeless(experiment: Experiment, needed: _Needed, size: int, power: float, unit: str) -> str:
    primary = experiment.primary
    spread = needed.spread if primary.traits.control is None else None
    cv = None if spread is None else spread.cv
    effect = number_format.limit(primary.minimum_effect, primary)
    varies = "" if cv is None else f" when single runs vary by {number_format.frequency(cv)}"
    words = (
        f"{size} {unit} can hardly see {effect}{varies}: power {number_format.frequency(power)}. "
    )
    if not needed.reached:
        return words.rstrip()
    if needed.confirmed is not None and size >= needed.confirmed:
        return words + "The time ends first: raise max_days, or plan for a larger effect."
    words += f"It takes {needed.confirmed}"
    if experiment.assignment.design == "paired":
        return words + "."
    return words + ", or the paired design, if both arms can run in one job."


def _out_of_reach(experiment: Experiment, needed: _Needed, unit: str) -> str:
    effect = experiment.primary.minimum_effect
    power = number_format.stated_percent(experiment.plan.power)
    way = (
        "too few cases, a guardrail or promote_at"
        if experiment.cases
        else "a guardrail or promote_at"
    )
    return (
        f"Even three times {needed.confirmed} {unit} do not promote an effect of {effect} with "
        f"{power} power: {way} stands in the way."
    )
