"""Which case comes next, and in which order its pair runs: the least visited case first.

Drawn with the plan's salt, so that nobody chooses: ties between cases that were visited
equally often, and the order of the arms, which is balanced over the visits of one case and over
neighbouring cases of one round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from expci.core.assignment import Rule, draw_arm, ordered_arms, pair_order
from expci.core.value_class import dataclass


@dataclass(frozen=True)
class Visit:
    """A visit of a case; `number` counts those that it had before."""

    case: str
    number: int


def part_of(rule: Rule, cases: Sequence[str], part: tuple[int, int]) -> tuple[str, ...]:
    """Return the cases of part i of n (from 1): every n-th in the plan's order.

    >>> rule = Rule("plan", "salt", "paired", {"control": 1, "treatment": 1})
    >>> sorted(part_of(rule, "abcde", (1, 2)) + part_of(rule, "abcde", (2, 2)))
    ['a', 'b', 'c', 'd', 'e']
    """
    index, parts = part
    return tuple(lap(rule, cases, 0)[index - 1 :: parts])


def lap(rule: Rule, cases: Sequence[str], number: int) -> list[str]:
    """Return the cases in the order of their visits of that number.

    >>> rule = Rule("plan", "salt", "paired", {"control": 1, "treatment": 1})
    >>> lap(rule, ["login", "logout", "search"], 0), lap(rule, ["login", "logout", "search"], 1)
    (['logout', 'login', 'search'], ['login', 'logout', 'search'])
    """
    return sorted(cases, key=lambda case: (draw_arm(rule, "case", str(number), case), case))


def next_visits(rule: Rule, cases: Sequence[str], before: Mapping[str, int]) -> Iterator[Visit]:
    """Yield visits without end: the least visited case first; `before` counts earlier visits.

    >>> from itertools import islice
    >>> rule = Rule("plan", "salt", "paired", {"control": 1, "treatment": 1})
    >>> for visit in islice(next_visits(rule, ["login", "logout"], {"login": 1}), 2):
    ...     print(visit)
    Visit(case='logout', number=0)
    Visit(case='login', number=1)
    """
    number = min((before.get(case, 0) for case in cases), default=0)
    while cases:
        due = [case for case in cases if before.get(case, 0) <= number]
        for case in lap(rule, due, number):
            yield Visit(case, number)
        number += 1


def visits_from(rule: Rule, cases: Sequence[str], position: int) -> Iterator[Visit]:
    """Yield the same for consecutive CI runs, which know nothing of one another but their number.

    `position` counts the visits of the runs before.

    >>> from itertools import islice
    >>> rule = Rule("plan", "salt", "paired", {"control": 1, "treatment": 1})
    >>> first, second = (visits_from(rule, ["login", "logout", "search"], at) for at in (0, 2))
    >>> list(islice(first, 2, 4)) == list(islice(second, 2))
    True
    """
    number, start = divmod(position, len(cases))
    while True:
        for case in lap(rule, cases, number)[start:]:
            yield Visit(case, number)
        number, start = number + 1, 0


def case_pair_order(rule: Rule, rank: int, pair: int) -> tuple[str, ...]:
    """Return the arms' order in pair number `pair` of the case at place `rank` of the first lap.

    The k pairs of k neighbouring cases, and k consecutive pairs of one case, put each arm
    at each position once.

    >>> rule = Rule("plan", "salt", "paired", {"control": 1, "treatment": 1})
    >>> sorted(case_pair_order(rule, rank, 0) for rank in (0, 1))
    [('control', 'treatment'), ('treatment', 'control')]
    """
    arms = len(ordered_arms(rule.weights))
    key = f"case {rank // arms} {pair // arms}"
    return pair_order(rule, key, (rank + pair) % arms)
