"""One treatment against control on one metric: estimates and the evidence, as its kind says."""

from __future__ import annotations

from expci.core.dataset.dataset import Dataset
from expci.core.decision.inputs import Safeguard
from expci.core.kinds import compare_by_kind
from expci.core.kinds.contrast import Contrast
from expci.core.model.experiment import Metric
from expci.core.model.results import Comparison
from expci.core.statistics.terms import Terms

__all__ = ["Terms", "compare"]


def compare(
    metric: Metric, data: Dataset, arm: int, terms: Terms
) -> tuple[Comparison, Safeguard | None]:
    """Everything about one treatment on one metric; a safeguard for a duration primary."""
    return compare_by_kind(Contrast(metric, data, arm, terms))
