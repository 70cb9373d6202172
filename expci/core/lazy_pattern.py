"""Regular expressions that are compiled when they are first used.

`re` compiles in Python, a millisecond for the longer ones, and a run uses few of those that its
modules define.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from re import compile as lazy_pattern
else:

    class lazy_pattern:
        """A compiled pattern to whoever uses it."""

        def __init__(self, text: str | bytes, flags: int = 0) -> None:
            self._given = text, flags

        def __getattr__(self, name: str) -> Any:
            attribute = getattr(re.compile(*self._given), name)
            setattr(self, name, attribute)  # the next use asks nobody
            return attribute


__all__ = ["lazy_pattern"]
