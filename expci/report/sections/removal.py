"""Where the trials of an ended experiment are, once `expci gc` has removed them."""

from __future__ import annotations

from expci.report.text.escape import clean
from expci.report.text.numbers import count
from expci.report.text.times import day
from expci.store.ledger.removals import Removal


def megabytes(size: int) -> str:
    """Bytes in the unit that fits.

    >>> megabytes(1_250_000), megabytes(12_300), megabytes(400)
    ('1.2 MB', '12 kB', '400 bytes')
    """
    if size >= 1_000_000:
        return f"{size / 1_000_000:,.1f} MB"
    return f"{size // 1000} kB" if size >= 1000 else count(size, "byte")


def removal_words(name: str, removal: Removal, *, is_here: bool) -> str:
    """What is gone, since when, by whom, and how to read it all the same.

    `is_here` is whether the ledger of before is in this repository.
    """
    were, before = "was" if removal.trials == 1 else "were", removal.ledger[:12]
    back = (
        f"The ledger commit before the removal has them: expci export {name} --at {before}"
        if is_here
        else f"The ledger commit before the removal, {before}, is not in this repository"
    )
    return (
        f"{count(removal.trials, 'trial')} ({megabytes(removal.size)}) {were} removed from the "
        f"ledger on {day(removal.at)} by {clean(removal.by)}. {back}"
    )


def removal_document(removal: Removal) -> dict[str, object]:
    """What `analyze --json` says of it."""
    return {
        "at": removal.at,
        "by": removal.by,
        "trials": removal.trials,
        "amendments": removal.amendments,
        "bytes": removal.size,
        "ledger": removal.ledger,
    }
