"""Which arm a unit gets: a keyed hash and nothing else, so that anybody can check it.

Stateless: the same plan, salt and unit give the same arm on every machine and on every
re-run. The key is the published salt, so nobody can choose a unit's name for its arm
before the plan has started. `docs/data-model.md` states the same rules for strangers;
`tests/core/test_assignment.py` holds vectors that other implementations must agree with.

Every draw is HMAC-SHA256(salt, fields joined by newlines); the first eight bytes over
2^64 are a number in [0, 1).
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Mapping, Sequence

from expci.core.lazy_pattern import lazy_pattern
from expci.core.model.arm import CONTROL
from expci.core.value_class import dataclass, field, replace

_TRAILING_NUMBER = lazy_pattern(r"^(.*?)(\d{1,18})$", re.DOTALL)
_LARGEST_WEIGHT = 100  # weights are rounded to fractions with denominators up to this


@dataclass(frozen=True)
class Rule:
    """What the draw depends on: the published plan's id, salt, design, weights, traffic.

    `dropped` are the planned weights of treatments that left: units that they would get are
    drawn again among the others, and every other unit keeps its arm.
    """

    plan: str
    salt: str
    design: str
    weights: Mapping[str, float]
    traffic: float = 1.0
    dropped: Mapping[str, float] = field(default_factory=dict)

    @property
    def planned(self) -> Rule:
        """The rule before any treatment left."""
        return replace(self, weights={**self.weights, **self.dropped}, dropped={})


@dataclass(frozen=True)
class Counter:
    """A run's number among its like: `number` counts up within `stratum`.

    Permuted blocks balance the arms over consecutive numbers of one stratum.
    """

    number: int
    stratum: str = ""


@dataclass(frozen=True)
class Assigned:
    """The arm, or `None` with the reason. `explanation` are lines for a reader."""

    arm: str | None
    reason: str
    explanation: tuple[str, ...]


def assign(rule: Rule, unit: str, counter: Counter | None = None) -> Assigned:
    """Return the arm of `unit`; `counter` places it in a permuted block of a `blocked` design.

    Without a counter the unit's trailing number serves (`run-4242`: number 4242 in the
    stratum `run-`); a unit without one is drawn by hash.

    >>> rule = Rule("plan", "salt", "randomized", {"control": 1, "treatment": 1})
    >>> assign(rule, "run-7").arm, assign(rule, "run-7").arm
    ('control', 'control')
    >>> blocked = Rule("plan", "salt", "blocked", {"control": 1, "treatment": 1})
    >>> sorted(assign(blocked, f"run-{number}").arm for number in (8, 9))
    ['control', 'treatment']
    """
    arms = ordered_arms(rule.weights)
    if not arms:
        return Assigned(None, "no_weight", ("no arm has a weight above 0",))
    traffic = draw_arm(rule, "traffic", unit)
    lines = [f"unit {unit!r} in plan {rule.plan[:12]}"]
    lines.append(f"traffic draw {traffic:.6f}, takes part below {rule.traffic:g}")
    if traffic >= rule.traffic:
        return Assigned(None, "outside_traffic", tuple(lines))
    place = (counter or trailing_counter(unit)) if rule.design == "blocked" else None
    planned = rule.planned
    arm, line = _hashed(planned, unit, "arm") if place is None else _blocked(planned, place)
    lines.append(line)
    if arm in rule.dropped:
        lines[-1] += ", which was dropped from the experiment"
        arm, line = _hashed(rule, unit, "again")
        lines.append(line)
    return Assigned(arm, "hash" if place is None else "block", tuple(lines))


def pair_order(rule: Rule, key: str, index: int) -> tuple[str, ...]:
    """Return the order of all arms in the pair (block) number `index` of the series `key`.

    With k arms, k consecutive pairs form a group in which each arm stands at each
    position once: a Latin square of cyclic shifts of a keyed permutation, its rows in
    keyed order. With two arms that is AB/BA or BA/AB.

    >>> rule = Rule("plan", "salt", "paired", {"control": 1, "treatment": 1})
    >>> sorted(pair_order(rule, "job-7", index) for index in (0, 1))
    [('control', 'treatment'), ('treatment', 'control')]
    """
    arms = ordered_arms(rule.weights)
    group, position = divmod(index, len(arms))
    first = _permuted(rule, arms, "order", key, str(group))
    shifts = _permuted(rule, list(map(str, range(len(arms)))), "rows", key, str(group))
    shift = int(shifts[position])
    return (*first[shift:], *first[:shift])


def ordered_arms(weights: Mapping[str, float]) -> list[str]:
    """Return the arms with a weight above 0: control first, the others by name.

    >>> ordered_arms({"b": 1, "control": 1, "a": 2, "off": 0})
    ['control', 'a', 'b']
    """
    arms = [arm for arm, weight in weights.items() if weight > 0]
    return sorted(arms, key=lambda arm: (arm != CONTROL, arm))


def reduced_weights(weights: Mapping[str, float]) -> dict[str, int]:
    """Return the weights as the smallest whole numbers, in the order of `ordered_arms`.

    0.5 and 0.5 are 1 and 1; 0.2 and 0.8 are 1 and 4. Their sum is the block's size.

    >>> reduced_weights({"control": 0.2, "treatment": 0.8})
    {'control': 1, 'treatment': 4}
    """
    from fractions import Fraction  # which most jobs do not wait for

    arms = ordered_arms(weights)
    largest = max((weights[arm] for arm in arms), default=1.0)
    parts = [
        max(Fraction(weights[arm] / largest).limit_denominator(_LARGEST_WEIGHT), Fraction(1, 100))
        for arm in arms
    ]
    scale = math.lcm(*(part.denominator for part in parts))
    whole = [int(part * scale) for part in parts]
    divisor = math.gcd(*whole)
    return {arm: number // divisor for arm, number in zip(arms, whole, strict=True)}


def trailing_counter(unit: str) -> Counter | None:
    """Return the number at the unit's end; what stands before it is the stratum.

    >>> counter = trailing_counter("run-4242")
    >>> counter.number, counter.stratum
    (4242, 'run-')
    >>> trailing_counter("octocat") is None
    True
    """
    match = _TRAILING_NUMBER.fullmatch(unit)
    return None if match is None else Counter(int(match[2]), match[1])


def draw_arm(rule: Rule, purpose: str, *fields: str) -> float:
    """Return a number in [0, 1) that only the salt's holder could have foretold.

    >>> rule = Rule("plan", "salt", "randomized", {"control": 1, "treatment": 1})
    >>> round(draw_arm(rule, "arm", "run-7"), 4), round(draw_arm(rule, "traffic", "run-7"), 4)
    (0.3819, 0.7759)
    """
    message = "\n".join((purpose, rule.plan, *fields)).encode(errors="surrogateescape")
    digest = hmac.new(rule.salt.encode(), message, hashlib.sha256).digest()
    # 53 bits: all that a float holds, so that 1.0 is never reached by rounding.
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def _hashed(rule: Rule, unit: str, purpose: str) -> tuple[str, str]:
    arms = ordered_arms(rule.weights)
    total = math.fsum(rule.weights[arm] for arm in arms)
    number = draw_arm(rule, purpose, unit)
    edge = 0.0
    for arm in arms:
        edge += rule.weights[arm] / total
        if number < edge:
            break
    return arm, f"arm draw {number:.6f}: {arm} (its share ends at {min(edge, 1.0):.6f})"


def _blocked(rule: Rule, place: Counter) -> tuple[str, str]:
    slots = [arm for arm, n in reduced_weights(rule.weights).items() for _ in range(n)]
    block, position = divmod(place.number, len(slots))
    arm = _permuted(rule, slots, "block", place.stratum, str(block))[position]
    of = f" of {place.stratum!r}" if place.stratum else ""
    return arm, (
        f"number {place.number}{of}: place {position + 1} of {len(slots)} in block {block}: {arm}"
    )


def _permuted(rule: Rule, items: Sequence[str], purpose: str, *fields: str) -> list[str]:
    """The items sorted by a keyed draw for each position."""
    ranks = [(draw_arm(rule, purpose, *fields, str(place)), place) for place in range(len(items))]
    return [items[place] for _, place in sorted(ranks)]
