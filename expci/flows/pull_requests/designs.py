"""Design reports of what pull requests propose: simulated once for the same content, and
within a time, because whoever opens a pull request chooses how much there is to simulate."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from expci.core.model.experiment import Experiment, to_json
from expci.core.model.metric_kinds import KINDS
from expci.core.planning.design_report import plan_report
from expci.flows.pull_requests.overlaps import relation_to_ledger
from expci.flows.pull_requests.read import Proposed
from expci.store.ledger.ledger import Ledger

REVIEW_SECONDS = 120.0  # of one pass, after which it begins no further design
MOST_COMPARED = 20  # comparisons of a design that a pass simulates; each takes about a second
QUANTILE_COMPARISONS = KINDS["quantile"].comparison_cost
PLAN_LABEL = "expci:plan"
FOR_A_WRITER = (
    "The design of a fork's proposal is not simulated automatically. Somebody with write access "
    f"requests it with the label `{PLAN_LABEL}`."
)

Document = Mapping[str, object]  # `expci.plan/1`; {} where there is none


@dataclass
class Designs:
    """The designs of one pass. `seconds` bounds the time; one is computed in any case.

    `postponed` is whether the last pull request was left for want of time.
    """

    ledger: Ledger
    now: datetime
    seconds: float = REVIEW_SECONDS
    begin: float = field(default_factory=time.monotonic)
    simulated: int = 0
    postponed: bool = False

    @property
    def spent(self) -> bool:
        return self.simulated > 0 and time.monotonic() - self.begin >= self.seconds

    def of(self, proposed: Proposed, earlier: Mapping[str | None, Document], who: str) -> Document:
        """The report of one proposal: that of an earlier pass, or a new one.

        `who` is "writer" where the content is of somebody who may write here, or such a
        person asked for it; else "stranger".
        """
        plan = proposed.plan
        if plan is None:
            return {}
        document = earlier.get(plan.id)
        if document and not (who == "writer" and awaits_a_writer(document)):
            return document
        # What runs already has a report of its own.
        if relation_to_ledger(self.ledger, proposed.id, plan.id) == "running":
            return {}
        if refusal := too_much(plan.experiment):
            return {"advice": [refusal]}
        if who == "stranger":
            return {"advice": [FOR_A_WRITER]}
        if self.spent:
            self.postponed = True
            return {}
        self.simulated += 1
        return _simulated(self.ledger, plan.experiment, self.now)


def _simulated(ledger: Ledger, experiment: Experiment, now: datetime) -> Document:
    """From earlier trials of the experiment where there are some."""
    from expci.core.analysis.rate import measured_rate  # statistics: slow to import

    history = ledger.columns(experiment.id)
    try:
        document = to_json(plan_report(experiment, history, measured_rate(history, now)))
    except Exception as error:
        # Numbers that a stranger wrote must not end the pass that looks after everybody's.
        return {"advice": [f"The plan could not be simulated ({type(error).__name__})."]}
    return dict(document) if isinstance(document, dict) else {}


def awaits_a_writer(document: Document) -> bool:
    return document.get("advice") == [FOR_A_WRITER]


def too_much(experiment: Experiment) -> str:
    """Why a design is not simulated in a pass; "" where it is."""
    deciding = [metric for metric in experiment.metrics if metric.role != "secondary"]
    costs = (metric.traits.comparison_cost for metric in deciding)
    compared = len(experiment.treatments) * sum(costs)
    if compared <= MOST_COMPARED:
        return ""
    return (
        f"{compared} comparisons (treatments times metrics that decide, a quantile as "
        f"{QUANTILE_COMPARISONS}) are more than a pass simulates, {MOST_COMPARED}: see "
        f"`expci plan {experiment.id}` before you start it."
    )
