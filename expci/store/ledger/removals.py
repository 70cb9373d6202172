"""What `expci gc` took out of the ledger, one line for each time, and where it still stands.

The line is written by the commit that removes the files, and names each of them with its
object id: so the ledger's history proves that nothing else went, and what is fetched back can
be compared.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from expci.core.model.trial import FORMAT
from expci.errors import LedgerDamaged


class Removal(msgspec.Struct, frozen=True, kw_only=True, rename={"size": "bytes"}):
    """`ledger` is the commit before, which holds the `files` (path below the experiment → blob).

    Of the `plans` every trial is gone, and none that arrives later is taken. `size` is the bytes
    of the files; `trials` and `amendments` count their lines.
    """

    at: str
    by: str
    ledger: str
    plans: tuple[str, ...]
    trials: int
    amendments: int
    size: int
    files: dict[str, str]
    v: int = FORMAT

    def line(self) -> bytes:
        return msgspec.json.encode(self) + b"\n"


_DECODER = msgspec.json.Decoder(Removal)


def why_no_removal(line: bytes) -> str | None:
    """Why a line is no removal; `None` where it is one."""
    try:
        removal = _DECODER.decode(line)
    except msgspec.MsgspecError as error:
        return str(error)
    return None if removal.v == FORMAT else f"format version {removal.v}"


def read_removals(data: bytes | None) -> list[Removal]:
    """The removals of one experiment, oldest first; `LedgerDamaged` where a line is none."""
    removals = []
    for line in (data or b"").splitlines():
        if why := why_no_removal(line):
            raise LedgerDamaged(f"a line of removed.jsonl cannot be read: {why}; run `expci fsck`")
        removals.append(_DECODER.decode(line))
    return removals


def removal_of(removals: Iterable[Removal], plan: str) -> Removal | None:
    """The removal of the trials of a plan; `None` where they are in the ledger."""
    return next((removal for removal in removals if plan in removal.plans), None)


def is_removed(removals: Iterable[Removal], current: str | None, plan: str | None, at: str) -> bool:
    """Whether a record belongs to trials that are gone: a trial by its plan, an amendment,
    which names none, where the `current` plan's are, or where it was written before they went.

    >>> gone = Removal(at="2026-11-02", by="ada", ledger="c", plans=("a",), trials=9,
    ...                amendments=0, size=9, files={})
    >>> is_removed([gone], "b", "a", "2026-11-03"), is_removed([gone], "b", "b", "2026-11-01")
    (True, False)
    >>> is_removed([gone], "b", None, "2026-11-01"), is_removed([gone], "b", None, "2026-11-03")
    (True, False)
    """
    for removal in removals:
        if plan is not None and plan in removal.plans:
            return True
        if plan is None and (current in removal.plans or at <= removal.at):
            return True
    return False
