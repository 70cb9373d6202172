"""What each kind of metric is: its values, its scale, its estimates and evidence."""

from __future__ import annotations

from expci.core.decision.inputs import Safeguard
from expci.core.kinds import continuous, count, proportion, quantile, rank, ratio
from expci.core.kinds.contrast import Contrast, Simulated
from expci.core.kinds.look_evidence import LookEvidence
from expci.core.model.results import Comparison

ROW_BY_ROW = ("rank", "quantile")  # kinds without arrays over experiments
_OTHERS = {
    "proportion": proportion,
    "ratio": ratio,
    "rank": rank,
    "quantile": quantile,
    "count": count,
}


def compare_by_kind(contrast: Contrast) -> tuple[Comparison, Safeguard | None]:
    """Everything about one treatment on one metric; a safeguard for a duration primary."""
    other = _OTHERS.get(contrast.metric.kind)
    return continuous.compare(contrast) if other is None else (other.compare(contrast), None)


def look_evidence(simulated: Simulated) -> LookEvidence:
    """The evidence of simulated experiments at every look."""
    found: LookEvidence = _OTHERS.get(simulated.metric.kind, continuous).look_evidence(simulated)
    return found
