"""A column of words as codes: text is compared once per level, not once per row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from expci.core.dataset.moments import BoolArray, IntArray

Codes = NDArray[np.int32]
NONE = -1


@dataclass(frozen=True)
class Factor:
    """`codes` are places among `levels`, −1 where a row has no word."""

    codes: Codes
    levels: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.codes.size)

    def take(self, rows: IntArray) -> Factor:
        return Factor(self.codes[rows], self.levels)

    @property
    def given(self) -> BoolArray:
        """Where there is a word."""
        return np.asarray(self.codes != NONE)

    def among(self, levels: Sequence[str]) -> IntArray:
        """The place of each row's word among `levels`; −1 for other words and for none.

        >>> factor(["a", None, "b", "a"]).among(["b", "a"])
        array([ 1, -1,  0,  1])
        """
        place = {level: index for index, level in enumerate(levels)}
        places = [place.get(level, NONE) for level in self.levels]
        return np.array([*places, NONE], dtype=np.int64)[self.codes]

    def is_any(self, *words: str) -> BoolArray:
        """Where the word is one of `words`."""
        return np.asarray(self.among(words) != NONE)

    def word(self, row: int) -> str | None:
        code = int(self.codes[row])
        return None if code == NONE else self.levels[code]

    def words(self) -> list[str | None]:
        return [*map([*self.levels, None].__getitem__, self.codes.tolist())]

    def appearing(self) -> list[int]:
        """The codes of the rows in the order in which they first appear, −1 among them."""
        codes, first = np.unique(self.codes, return_index=True)
        return [int(code) for code in codes[np.argsort(first)]]


class Interning:
    """The codes of words, in the order in which the words appear."""

    def __init__(self) -> None:
        self._codes: defaultdict[str | None, int] = defaultdict(count().__next__, {None: NONE})

    def codes(self, words: Sequence[str | None]) -> Codes:
        if words and words.count(words[0]) == len(words):  # most columns say one thing throughout
            return np.full(len(words), self._codes[words[0]], dtype=np.int32)
        return np.fromiter(map(self._codes.__getitem__, words), np.int32, len(words))

    def recoded(self, column: Factor) -> Codes:
        """The codes here of a column that has codes of its own."""
        known = len(self._codes) - 1
        if not known and not column.levels:
            return column.codes
        if self._codes.keys().isdisjoint(column.levels):  # as where each row has a word of its own
            after = known + len(column.levels)
            self._codes.update(zip(column.levels, range(known, after), strict=True))
            self._codes.default_factory = count(after).__next__
            return np.where(column.codes == NONE, column.codes, column.codes + np.int32(known))
        places = [*map(self._codes.__getitem__, column.levels), NONE]
        return np.asarray(np.array(places, dtype=np.int32)[column.codes])

    @property
    def levels(self) -> tuple[str, ...]:
        _, *words = self._codes
        return tuple(map(str, words))


def factor(words: Iterable[str | None]) -> Factor:
    """Return `words` as a column; `None`: no word.

    >>> factor(["a", None, "b", "a"])
    Factor(codes=array([ 0, -1,  1,  0], dtype=int32), levels=('a', 'b'))
    """
    interning = Interning()
    return Factor(interning.codes([*words]), interning.levels)


def joint_codes(*columns: Codes | IntArray) -> IntArray:
    """Return codes from 0 that two rows share where they agree in all `columns`.

    >>> joint_codes(np.array([0, 1, 0]), np.array([-1, 2, -1]))
    array([0, 1, 0])
    """
    joint = np.zeros(columns[0].size, dtype=np.int64)
    for column in columns:
        joint = joint * (int(column.max(initial=0)) + 2) + column + 1
        joint = np.unique(joint, return_inverse=True)[1].astype(np.int64)
    return joint
