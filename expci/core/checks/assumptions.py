"""Where evidence calls more false alarms than alpha allows: the results of calibration as rules.

Two things break a test of means that looks at every trial (`docs/calibration.md`): values with a
long tail that spread wider in one arm, and drift from run to run that one arm feels more. Each
alone does no harm. The limits here lie between what was simulated to hold and to fail.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from expci.core import number_format
from expci.core.checks.inputs import CheckInputs, two_groups, worst
from expci.core.dataset.metric_columns import metric_column
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.trials_table import TrialsTable
from expci.core.model.experiment import Experiment, Metric
from expci.core.model.results import Check
from expci.core.statistics import t_mixture
from expci.core.statistics.ancova_pairs import BLOCK, arrival_blocks
from expci.core.statistics.two_arms import Sample, sample

# Means of lognormal values with sd 1:1.5 keep alpha whatever their skewness; with 1:2 from a
# skewness of 1.2 (40 values) on they don't.
SKEWED = 1.0
UNEVEN = 1.5
# A variance of the estimate that is this share larger than the test takes it to be: .053 to
# .065 false alarms of .05.
INFLATED = 0.2
# Correlation of successive runs from which an arm that swings three times as far (in pairs and
# in random order, twice) breaks alpha.
CORRELATED = {"randomized": 0.35, "paired": 0.5, "blocked": 0.7}
_LEAST = 20  # values under which skewness and correlation say nothing
_UNLIKELY = 3.0  # standard errors
_SURE = 0.05  # that spreads differ at all


def skewness(values: FloatArray) -> float:
    """Return the third standardised moment; 0 where nothing varies.

    >>> round(skewness(np.array([0.0, 0.0, 0.0, 4.0])), 3)  # 2/√3: a share of a quarter
    1.155
    """
    centred = values - values.mean()
    second = float(np.mean(centred**2))
    if not 0 < second < np.inf:
        return 0.0
    return float(np.mean((centred / np.sqrt(second)) ** 3))


def autocorrelation(values: FloatArray) -> float:
    """Return the correlation of each value with the next one; 0 where nothing varies.

    >>> autocorrelation(np.array([1.0, -1.0, 1.0, -1.0]))
    -0.75
    """
    centred = values - values.mean()
    total = float(np.sum(centred**2))
    return float(np.sum(centred[1:] * centred[:-1])) / total if 0 < total < np.inf else 0.0


def inflation(correlation: float, ratio: float, design: str) -> float:
    """Return by which share drift that one arm feels `ratio` times as much inflates the variance.

    Of the difference of two arms' means, for a first-order autoregression over all runs. In
    random order the arms' signs are independent, so only the difference of the spreads meets
    its neighbours; in blocks of one run of each arm, in random order, neighbours cancel first.

    >>> round(inflation(0.5, 3.0, "randomized"), 3), inflation(0.5, 1.0, "randomized")  # 4/10
    (0.4, 0.0)
    """
    rho, k = min(max(correlation, 0.0), 0.99), ratio
    if design != "blocked":
        return (1 - k) ** 2 / (1 + k * k) * rho / (1 - rho)
    within = 1 + k * k - 2 * k * rho
    between = (1 - k) ** 2 * rho * (1 + rho) ** 2 / 4
    return (within + 2 * between / (1 - rho**2)) / (1 + k * k) - 1


def long_tail(inputs: CheckInputs) -> Check | None:
    """Check for means of values with a long tail that spread wider in one arm.

    >>> from expci.core.model.experiment import Metric
    >>> from support.analysis_samples import alternating, make_experiment
    >>> from support.examples import check_inputs
    >>> cost = Metric("usd", "primary", "mean", "decrease")
    >>> mild, tail = [4.0, 5.0, 6.0, 5.0, 12.0] * 16, [4.0, 5.0, 6.0, 5.0, 60.0] * 16
    >>> trials = alternating(mild, tail, "usd")
    >>> long_tail(check_inputs(trials, make_experiment(primary=cost, others=()))).status
    'warning'
    """
    checks = [
        check
        for metric in _means(inputs.experiment)
        if metric.name in inputs.columns
        for arm in range(1, len(inputs.arms))
        if (check := _long_tail(inputs, metric, arm)) is not None
    ]
    return worst(checks)


def _means(experiment: Experiment) -> Iterator[Metric]:
    """The metrics that decide and are compared by their means."""
    for metric in experiment.metrics:
        if metric.traits.average == "arithmetic" and metric.role != "secondary":
            yield metric


def _long_tail(inputs: CheckInputs, metric: Metric, arm: int) -> Check | None:
    column = inputs.columns[metric.name].value
    control, treatment = (inputs.data.units(metric.name, index) for index in (0, arm))
    if min(control.size, treatment.size) < _LEAST:
        return None
    shape = _shape(inputs, column, arm)
    ratio, sure = _spreads(control, treatment)
    name = inputs.arms[arm]
    if abs(shape) < SKEWED or max(ratio, 1 / ratio) < UNEVEN or not sure:
        detail = (
            f"{metric.name}: skewness {number_format.number(shape)}, "
            f"spread of {name} {number_format.number(ratio)} of control's"
        )
        return Check("long_tail", "ok", None, detail)
    detail = (
        f"{metric.name} has a long tail (skewness {number_format.number(shape)}) and {name} "
        f"spreads {number_format.times(ratio)} as wide as control: comparing means "
        "then shows effects that are not there more "
        f"often than alpha allows; plan it as {_instead(np.concatenate([control, treatment]))}"
    )
    return Check("long_tail", "warning", None, detail)


def _instead(values: FloatArray) -> str:
    if values.min() > 0:
        return "`kind: duration` (compares logarithms) or `kind: rank`"
    return "`kind: rank`"


def _shape(inputs: CheckInputs, column: FloatArray, arm: int) -> float:
    """Skewness of what is averaged: both arms' values, or the differences of pairs."""
    if inputs.table.paired:
        control, treatment = sample(inputs.table, arm, column, True).pair_values()
        return skewness(treatment - control) if control.size >= _LEAST else 0.0
    parts = [_standardised(inputs.table.path(index, column).final) for index in (0, arm)]
    return skewness(np.concatenate(parts))


def _standardised(values: FloatArray) -> FloatArray:
    sd = float(np.std(values))
    return np.asarray((values - values.mean()) / (sd or 1.0))


def _spreads(control: FloatArray, treatment: FloatArray) -> tuple[float, bool]:
    """The treatment's sd over control's, and whether they surely differ (Brown & Forsythe 1974)."""
    sds = [float(np.std(values)) for values in (control, treatment)]
    if not min(sds):
        return 1.0, False
    log_e = two_groups(*(np.abs(values - np.median(values)) for values in (control, treatment)))
    sure = log_e is not None and t_mixture.p_value_of(log_e) <= _SURE
    return sds[1] / sds[0], sure


def dependence(inputs: CheckInputs) -> Check | None:
    """Check for runs that follow one another in value, where one arm feels it more.

    >>> from support.analysis_samples import alternating
    >>> from support.examples import check_inputs
    >>> slow_wave = [10 + n // 10 % 2 for n in range(40)]
    >>> calm = dependence(check_inputs(alternating(slow_wave, slow_wave)))  # alike in both arms
    >>> calm.status, calm.detail
    ('ok', 'successive runs are correlated by 0.91')
    """
    metric = inputs.experiment.primary
    column = inputs.columns.get(metric.name)
    if column is None or not metric.traits.has_single_values:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.log(column.value) if metric.traits.is_logarithmic else column.value
    checks = [
        check
        for arm in range(1, len(inputs.arms))
        if (check := _dependence(inputs, scaled, arm)) is not None
    ]
    return worst(checks)


def _dependence(inputs: CheckInputs, scaled: FloatArray, arm: int) -> Check | None:
    beside = _side_by_side(inputs, scaled, arm)
    if beside is not None:
        return _dependent_pairs(beside)
    control, treatment = (inputs.table.path(index, scaled).final for index in (0, arm))
    if min(control.size, treatment.size) < _LEAST:
        return None
    series = _in_order(inputs.table, scaled, arm)
    ratio, sure = _spreads(control, treatment)
    correlation = autocorrelation(series)
    clear = correlation * np.sqrt(series.size) >= _UNLIKELY
    grown = inflation(correlation, ratio, inputs.experiment.assignment.design)
    detail = f"successive runs are correlated by {number_format.correlation(correlation)}"
    if not (clear and sure and grown >= INFLATED):
        return Check("dependence", "ok", None, detail)
    detail += (
        f", and {inputs.arms[arm]} spreads {number_format.times(ratio)} as wide as control: "
        "what drifts does "
        f"not cancel, and false alarms are more frequent than alpha allows; {_ADVICE}"
    )
    return Check("dependence", "warning", None, detail)


_ADVICE = "take independent units (`unit: job` or `pr`), or a metric that does not drift"


def _side_by_side(inputs: CheckInputs, scaled: FloatArray, arm: int) -> Sample | None:
    """The pairs that are compared: the design's, or those of blocks where the plan asks for it."""
    if inputs.table.paired:
        return sample(inputs.table, arm, scaled, True)
    even = inputs.block_sizes(inputs.arms[arm]) == (1, 1)
    blocked = inputs.experiment.assignment.design == "blocked" and even
    if blocked and BLOCK in inputs.experiment.primary.adjust_by:
        return arrival_blocks(inputs.table, arm, scaled)
    return None


def _dependent_pairs(pairs: Sample) -> Check | None:
    """In pairs what both runs share is gone: the differences themselves must be independent."""
    if pairs.pairs is None or pairs.n < _LEAST:
        return None
    control, treatment = pairs.pair_values()
    difference, first = treatment - control, pairs.pairs.treatment_first
    for side in (-1.0, 0.0, 1.0):  # what running first does is taken out by the analysis
        mine = first == side
        difference[mine] -= difference[mine].mean() if mine.any() else 0.0
    correlation = autocorrelation(difference)
    detail = f"successive pairs are correlated by {number_format.correlation(correlation)}"
    clear = correlation * np.sqrt(difference.size) >= _UNLIKELY
    if not clear or 2 * correlation / (1 - min(correlation, 0.99)) < INFLATED:
        return Check("dependence", "ok", None, detail)
    detail += f": false alarms are more frequent than alpha allows; {_ADVICE}"
    return Check("dependence", "warning", None, detail)


def _in_order(table: TrialsTable, scaled: FloatArray, arm: int) -> FloatArray:
    """The standardised units of control and of one arm, by first appearance."""
    parts = [table.path(index, scaled) for index in (0, arm)]
    position = np.concatenate([part.position[part.first] for part in parts])
    values = np.concatenate([_standardised(part.final) for part in parts])
    return np.asarray(values[np.argsort(position, kind="stable")])


def pilot_advice(experiment: Experiment, table: TrialsTable) -> tuple[str, ...]:
    """Return what a pilot says against the plan; `table` holds its usable trials.

    >>> from expci.core.dataset.recorded import trial_columns
    >>> from expci.core.dataset.trials_table import pilot_table
    >>> from expci.core.model.experiment import Metric
    >>> from support.analysis_samples import make_experiment, make_trial
    >>> plan = make_experiment(primary=Metric("usd", "primary", "mean", "decrease"), others=())
    >>> costs = [1.0, 1.2, 1.1, 30.0] * 6
    >>> runs = [make_trial(n, "control", metrics={"usd": usd}) for n, usd in enumerate(costs)]
    >>> pilot = pilot_table(trial_columns(runs), ("control", "treatment"), False)
    >>> [advice] = pilot_advice(plan, pilot)
    >>> advice.split(":")[0]
    'usd has a long tail in the pilot (skewness 1.15 in 24 runs)'
    """
    return (*_tails(experiment, table), *_drifting(experiment, table))


def _tails(experiment: Experiment, table: TrialsTable) -> Iterator[str]:
    for metric in _means(experiment):
        control = _of_control(experiment, metric, table)
        if control.size >= _LEAST and abs(shape := skewness(control)) >= SKEWED:
            yield (
                f"{metric.name} has a long tail in the pilot "
                f"(skewness {number_format.number(shape)} in "
                f"{control.size} runs): compared as a mean it gives more false alarms than alpha "
                f"allows if one arm spreads twice as wide; write {_instead(control)}."
            )


def _of_control(experiment: Experiment, metric: Metric, table: TrialsTable) -> FloatArray:
    return table.path(0, metric_column(metric, table, experiment.timeout_s).value).final


def _drifting(experiment: Experiment, table: TrialsTable) -> Iterator[str]:
    primary, design = experiment.primary, experiment.assignment.design
    if not primary.traits.has_single_values:
        return
    control = _of_control(experiment, primary, table)
    if primary.traits.is_logarithmic:
        control = np.log(control)
    if control.size < _LEAST:
        return
    correlation = autocorrelation(control)
    clear = correlation * np.sqrt(control.size) >= _UNLIKELY
    if clear and correlation >= CORRELATED[design]:
        blocked = "" if design == "blocked" else "`design: blocked` is affected least; or "
        yield (
            f"Successive pilot runs are correlated by "
            f"{number_format.correlation(correlation)}: harmless while both arms "
            f"spread alike, but not if one spreads twice as wide; {blocked}{_ADVICE}."
        )
