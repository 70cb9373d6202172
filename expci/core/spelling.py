"""What was probably meant by a name that nothing has."""

from __future__ import annotations

from collections.abc import Iterable


def suggestion(name: str, names: Iterable[str], otherwise: str) -> str:
    """Return the question after the name most like `name`; `otherwise` where none is like it.

    >>> suggestion("fastre", ["faster", "smaller"], "`expci status` lists them")
    "did you mean 'faster'?"
    >>> suggestion("zzz", ["faster", "smaller"], "`expci status` lists them")
    '`expci status` lists them'
    """
    import difflib  # only where something is misspelt

    near = difflib.get_close_matches(name, sorted(names), n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
