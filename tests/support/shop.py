"""A shop's experiment whose metrics live in a database, and the same with values in the records."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import fmean

from expci.core.model.trial import Trial, derived_trial_id, timestamp
from expci.store.inbox import send
from support.stage import Stage

START = datetime(2026, 11, 20, tzinfo=UTC)
# Each kind of metric, with the rows that it is made of. `{}` is the source, where there is one.
METRICS = {
    "spend": "role: primary, kind: mean, direction: increase, minimum_effect: 2",
    "paid": "role: guardrail, kind: proportion, direction: increase",
    "per_order": "kind: ratio, denominator: orders, direction: increase",
    "orders": "kind: count, direction: increase",
    "wait_s": "kind: duration",
    "largest": "kind: rank, direction: increase",
    "typical": "quantile: 0.5, direction: increase",
}
COLUMNS = {
    "spend": "value: amount, rows: sum",
    "paid": "value: paid, rows: max",
    "per_order": "value: amount, rows: sum",
    "orders": "rows: count",
    "wait_s": "value: wait_s, rows: mean",
    "largest": "value: amount, rows: max",
    "typical": "value: amount, rows: mean",
}
SPEC = """\
version: 1
hypothesis: The new page makes people spend 2 more within 7 days.
arms:
  control: {{}}
  treatment: {{files: treatment/}}
metrics:
{metrics}
assignment: {{unit: custom, design: randomized}}
plan: {{inference: anytime, min_trials: 10}}
"""


def spec(source: str | None = None) -> str:
    """The experiment; with `source` (name, table, columns) its metrics are read from there."""
    lines = []
    for name, keys in METRICS.items():
        stated = f", source: {{{source}, {COLUMNS[name]}}}" if source else ""
        lines.append(f"  - {{name: {name}, {keys}{stated}}}")
    return SPEC.format(metrics="\n".join(lines))


@dataclass(frozen=True)
class Order:
    """A row of the shop's table."""

    user_id: str
    amount: float
    paid: bool
    wait_s: float
    paid_at: datetime


@dataclass
class Shop:
    """Users in turn by arm, and what they order in the hour after they came."""

    random: random.Random = field(default_factory=lambda: random.Random(7))
    users: dict[str, datetime] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)

    def open(self, users: int) -> None:
        for number in range(users):
            user, came = f"user-{number}", START + timedelta(minutes=number)
            self.users[user] = came
            for _ in range(self.random.randint(1, 3)):
                paid_at = came + timedelta(seconds=self.random.uniform(1, 3500))
                amount = round(self.random.lognormvariate(3 + 0.2 * (number % 2), 0.5), 2)
                paid, wait = self.random.random() < 0.8, self.random.lognormvariate(1, 0.3)
                self.orders.append(Order(user, amount, paid, wait, paid_at))

    def values(self, user: str) -> Mapping[str, float]:
        """What a service that adds up itself would record."""
        rows = [order for order in self.orders if order.user_id == user]
        amounts = [order.amount for order in rows]
        return {
            "spend": sum(amounts),
            "paid": float(max(order.paid for order in rows)),
            "per_order": sum(amounts),
            "orders": float(len(rows)),
            "wait_s": fmean(order.wait_s for order in rows),
            "largest": max(amounts),
            "typical": fmean(amounts),
        }

    def record(self, stage: Stage, name: str, *, with_values: bool) -> None:
        """Send a trial for each user, as a service does that calls `expci record`."""
        plan = stage.life(name).plan or ""
        trials = list(self._trials(name, plan, with_values))
        send.send(stage.context.store.remote, name, send.encode([t.line() for t in trials]))

    def _trials(self, name: str, plan: str, with_values: bool) -> Iterator[Trial]:
        for number, (user, came) in enumerate(self.users.items()):
            yield Trial(
                id=derived_trial_id(name, user),
                experiment=name,
                plan=plan,
                mode="live",
                arm=("control", "treatment")[number % 2],
                unit=user,
                started=timestamp(came),
                metrics=self.values(user) if with_values else {},
            )


def merge(stage: Stage, specs: Mapping[str, str], sources: str = "") -> None:
    """Experiments on the default branch, which a pass starts; `sources` for the defaults file."""
    repository = stage.repository
    repository.git("switch", "-q", "main")
    if sources:
        repository.write("experiments/expci.yml", f"version: 1\nsources: {sources}\n")
    for name, text in specs.items():
        repository.write(f"experiments/{name}/experiment.yml", text)
        repository.write(f"experiments/{name}/treatment/{name}.html", "<h1>New</h1>\n")
        repository.write(f"{name}.html", "<h1>Old</h1>\n")
    repository.commit("Experiments")
    repository.push("main")
    stage.auto()
