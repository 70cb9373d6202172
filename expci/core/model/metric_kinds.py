"""What each kind of metric is, as data: the one place that says in what kinds differ.

Everything below the statistics (reader of specs, dataset, decision table, number formats) asks a
kind for its traits and never for its name. What a kind computes is its module in `core/kinds`.
Standard library only: trial jobs read it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from expci.core.model import limits
from expci.core.value_class import dataclass

Kind = Literal["duration", "mean", "proportion", "ratio", "rank", "quantile", "count", "preference"]
Pairing = Literal["by_design", "never", "always"]


@dataclass(frozen=True)
class ValueRange:
    """What a trial's value can be: above `above`, from `least` to `most`, perhaps whole.

    `words` say it in a sentence, `advice` what to do about a value outside, and `baseline` why
    such a mean is refused, with a value to write instead.
    """

    words: str
    advice: str
    baseline: tuple[str, str]
    above: float | None = None
    least: float | None = None
    most: float | None = None
    is_whole: bool = False

    def holds_mean(self, value: float) -> bool:
        """Whether control's mean can be `value`.

        >>> KINDS["count"].values.holds_mean(0.4), KINDS["duration"].values.holds_mean(0.0)
        (True, False)
        """
        return (
            (self.above is None or value > self.above)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
        )


@dataclass(frozen=True)
class MetricKind:
    """The traits of one kind of metric.

    `average` is the mean that the arms are compared by, `None` where it is another statistic;
    geometric: values are analysed as logarithms, and effects are ratios. `is_share`: values are
    shares, effects are points. `pairing`: whether runs are compared in pairs. `is_timed`: a
    timed-out run counts at the timeout, a failed one has no value and ranks last, and a win must
    also hold in the arithmetic mean. `has_single_values`: one trial's value says something by
    itself. `own_key` is the key that this kind needs and no other knows, with an example; `keys`
    are what it knows besides. `control` is what control is by definition, and the largest sd of a
    treatment about it; `effect` the usual size of effect, where the kind has one of its own.
    `is_one_by_one`: simulated experiments are weighed one after the other, each comparison at the
    cost of `comparison_cost` others. `anytime_factor` is the sample that looking at any time needs,
    over the fixed one.
    """

    average: Literal["arithmetic", "geometric"] | None = None
    is_share: bool = False
    pairing: Pairing = "by_design"
    is_timed: bool = False
    has_single_values: bool = True
    values: ValueRange | None = None
    own_key: tuple[str, str] | None = None
    keys: frozenset[str] = frozenset()
    control: tuple[float, float] | None = None
    effect: float | None = None
    is_one_by_one: bool = False
    comparison_cost: int = 1
    anytime_factor: float = limits.SAMPLE_SIZE_FACTOR

    @property
    def is_logarithmic(self) -> bool:
        return self.average == "geometric"

    @property
    def is_tunable(self) -> bool:
        """Whether evidence at every look can be tuned to the planned effect."""
        return self.average is not None or self.is_share

    @property
    def default_effect(self) -> float:
        """`minimum_effect` and `max_regression` where none is stated: of control, or in points."""
        if self.effect is not None:
            return self.effect
        return limits.PROPORTION_EFFECT if self.is_share else limits.RELATIVE_EFFECT


KINDS: Final[Mapping[Kind, MetricKind]] = {
    "duration": MetricKind(
        average="geometric",
        is_timed=True,
        values=ValueRange(
            "values above 0",
            "Report what was measured in full, or leave the metric out",
            ("a duration is more than zero", "write it in the metric's unit"),
            above=0,
        ),
        keys=frozenset({"winsorize", "adjust_by"}),
    ),
    "mean": MetricKind(average="arithmetic", keys=frozenset({"winsorize", "adjust_by"})),
    "proportion": MetricKind(
        is_share=True,
        pairing="never",
        has_single_values=False,
        values=ValueRange(
            "0 to 1",
            "Report a share of 1, or use `kind: mean`",
            ("a proportion lies between 0 and 1", "write 0.95 for 95%"),
            least=0,
            most=1,
        ),
    ),
    "ratio": MetricKind(
        has_single_values=False,
        own_key=("denominator", "METRIC`, the metric that this one is divided by"),
        keys=frozenset({"winsorize"}),
    ),
    "rank": MetricKind(is_one_by_one=True),
    "quantile": MetricKind(
        own_key=("quantile", "0.9`"),
        is_one_by_one=True,
        comparison_cost=10,
        anytime_factor=2.4,  # the exact test of quantiles bets on counts alone
    ),
    "count": MetricKind(
        average="arithmetic",
        values=ValueRange(
            "whole numbers from 0",
            "Report how many events the trial had; a measured amount is a `kind: mean`",
            (
                "a count is never negative or over 2^53",
                "write the mean number of events per trial",
            ),
            least=0,
            most=limits.EVENTS,
            is_whole=True,
        ),
        keys=frozenset({"winsorize"}),
    ),
    "preference": MetricKind(
        is_share=True,
        pairing="always",
        has_single_values=False,
        values=ValueRange(
            "0 to 1",
            "Report 1 where the run was preferred to control's, 0 where control's was, 0.5: a tie",
            ("control stands for one half of its pairs", "write `baseline: {mean: 0.5, sd: 0.4}`"),
            least=0,
            most=1,
        ),
        control=(0.5, 0.5),
        effect=limits.PREFERENCE_EFFECT,
    ),
}
