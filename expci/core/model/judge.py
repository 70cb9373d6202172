"""What a judge answered of pairs, as trials' contexts keep it. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from expci.core.value_class import dataclass

KEY: Final = "judge"  # of a treatment's context: both answers, `A/B`
NONE: Final = "none"  # no answer: not asked, or none that can be read
EVEN: Final = 0.5  # a tie, and what control is by definition
_ANSWERS = ("A", "B", "tie")


def is_answer(word: str) -> bool:
    """Whether a judge may answer so.

    >>> is_answer("tie"), is_answer("both")
    (True, False)
    """
    return word in _ANSWERS


def preference(answers: str) -> float | None:
    """Return 1 where both answers prefer the treatment, 0 for control, else ½: a tie.

    `answers` are the one with control as A and the one with the treatment as A; `None` where
    there are none.

    >>> preference("B/A"), preference("A/B"), preference("A/A"), preference("none")
    (1.0, 0.0, 0.5, None)
    """
    both = answers.split("/")
    if len(both) != 2 or not all(map(is_answer, both)):
        return None
    return {("B", "A"): 1.0, ("A", "B"): 0.0}.get((both[0], both[1]), EVEN)


def followed_position(answers: str) -> str | None:
    """Return the letter that both answers follow, whatever stood there; `None` where none.

    >>> followed_position("A/A"), followed_position("B/A")
    ('A', None)
    """
    first, _, second = answers.partition("/")
    return first if first == second and first in _ANSWERS[:2] else None


@dataclass(frozen=True)
class AnswerCounts:
    """What became of the judged pairs: `first` and `second` followed the position A and B."""

    judged: int = 0
    first: int = 0
    second: int = 0
    unanswered: int = 0

    @property
    def followed(self) -> int:
        return self.first + self.second


def answer_counts(answers: Iterable[str]) -> AnswerCounts:
    """Count the pairs by what the judge answered.

    >>> answer_counts(["B/A", "A/A", "B/B", "none"])
    AnswerCounts(judged=3, first=1, second=1, unanswered=1)
    """
    pairs = list(answers)
    judged = [pair for pair in pairs if preference(pair) is not None]
    letters = [followed_position(pair) for pair in judged]
    first, second = letters.count("A"), letters.count("B")
    return AnswerCounts(len(judged), first, second, len(pairs) - len(judged))
