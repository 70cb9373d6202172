"""A part of a pass: some of the experiments, chosen by their names, for a machine of its own."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from expci.errors import UsageError


@dataclass(frozen=True)
class Part:
    """Part `number` of `of`, from 1. 0 is all that belongs to no experiment, `None` everything."""

    number: int | None = None
    of: int = 1

    @classmethod
    def of_text(cls, text: str | None) -> Part:
        """The part that `i/n` names; everything where nothing is named."""
        if text is None:
            return cls()
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
        number, of = (int(match[1]), int(match[2])) if match else (1, 0)
        if number > of or not of:
            raise UsageError(
                f"--part {text}: write i/n, such as 1/4; 0/4 is the work that no part does"
            )
        return cls(number, of)

    @property
    def is_shared(self) -> bool:
        """Whether it folds what arrived, answers comments, starts and reviews."""
        return not self.number

    def holds(self, name: str) -> bool:
        """Whether it looks after an experiment."""
        if self.number is None:
            return True
        place = int.from_bytes(hashlib.sha256(f"part {name}".encode()).digest()[:4])
        return place % self.of == self.number - 1


WHOLE = Part()
