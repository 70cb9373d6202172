"""What all comparisons of one look share: the plan's rules, the target and the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expci.core.model.experiment import CONTROL, Experiment, Metric, PlanRules
from expci.core.statistics import betting
from expci.core.statistics.t_mixture import Rules


@dataclass(frozen=True)
class Terms:
    """What all comparisons of one look share.

    `target` is units per arm (`None`: no size), `extra` those of them that were added after
    the start; `weights` the shares by arm (`None`: none stated).
    """

    experiment: Experiment
    rules: PlanRules
    target: int | None
    harm_level: float
    paired: bool
    weights: Mapping[str, float] | None
    extra: int = 0

    @property
    def start(self) -> int:
        """Units per arm before which there is no evidence: Welch's t needs more if unequal."""
        equal = self.weights is not None and len(set(self.weights.values())) == 1
        return 5 if equal or self.paired else 10

    @property
    def level(self) -> float:
        return 1 - self.rules.alpha

    @property
    def design(self) -> str:
        """How the units are compared, whatever the plan called it."""
        return "paired" if self.paired else "randomized"

    @property
    def planned(self) -> int | None:
        """The units per arm that alpha was planned over: an extension buys no new look."""
        return None if self.target is None else self.target - self.extra

    def planned_effect(self, metric: Metric) -> float | None:
        """The frozen standardised effect of the primary; `None` for other metrics."""
        return self.rules.planned_effect if metric.role == "primary" else None

    def block_sizes(self, arm: str) -> tuple[int, int]:
        """Units of control and of `arm` in a block of the safe test."""
        if self.weights is None:
            return 1, 1
        return betting.block_sizes(self.weights[CONTROL], self.weights[arm])


def rules_of(metric: Metric, terms: Terms, scale: float, start: int | None = None) -> Rules:
    """Return how a metric's evidence is weighed, on a mixture of this `scale`.

    `start` are the units per arm that the statistic asks for; the plan may ask for more.

    >>> from expci.core.model.experiment import Assignment, DecisionRules
    >>> plan = PlanRules(alpha=0.05)
    >>> experiment = Experiment("", "", "", (), (), Assignment(), plan, DecisionRules())
    >>> terms = Terms(experiment, plan, None, 0.025, True, None)
    >>> rules = rules_of(Metric("cost", "primary", "mean", "decrease"), terms, 0.5, start=20)
    >>> rules.harm, rules.start  # larger is worse
    (1, 20)
    """
    return Rules(
        alpha=terms.rules.alpha,
        harm=1 if metric.direction == "decrease" else -1,
        start=terms.start if start is None else max(start, terms.start),
        scale=scale,
    )
