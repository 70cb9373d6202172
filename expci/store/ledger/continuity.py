"""Whether the ledger on the remote is still the one that it was.

A ledger that is gone, or older than it was, is never gone on with: decisions and watches
would be lost without a word. What it is checked against: the published document, the copy
that this clone keeps, and, where there is neither, the traces that a past life left.
"""

from __future__ import annotations

from dataclasses import dataclass

from expci.core.model.experiment import DEFAULTS_FILE
from expci.errors import LedgerDamaged
from expci.store import published
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.traces import Traces
from expci.store.published import Published

_RESTORE = (
    "Nothing was changed. `expci fsck --restore`, in the clone that ran expci last, brings "
    "back the copy that it keeps"
)


@dataclass(frozen=True)
class Continuity:
    """The checks for one ledger: the ref `ledger_ref` on `remote`.

    `contains` is the commit that `ledger_contains:` in `experiments/expci.yml` names, "" without.
    """

    remote: Remote
    ledger_ref: str
    contains: str = ""

    @property
    def git(self) -> Git:
        return self.remote.git

    @property
    def traces(self) -> Traces:
        """What earlier ledgers and promotions left."""
        return Traces(self.remote)

    @property
    def kept(self) -> str | None:
        """The newest ledger that this clone has seen on this remote, as of the last fetch."""
        return self.remote.kept.get(self.remote.kept_ref(refs.LEDGER))

    def goes_on_from(self, commit: str | None, older: str | None) -> bool:
        """Whether the ledger at `commit` is the one at `older`, or what became of it."""
        return older is None or (commit is not None and self.git.is_ancestor(older, commit))

    def require_whole(self, commit: str | None, document: Published) -> None:
        """`LedgerDamaged` when the ledger lacks what was published from it, with the way back."""
        if document.ledger and not self.goes_on_from(commit, document.ledger):
            named = f"(published names {document.ledger[:12]})"
            raise self._damaged(commit, "what was published", named)

    def require_not_moved_back(self, commit: str | None, kept: str | None) -> None:
        """`LedgerDamaged` when this clone has seen a newer ledger on the same remote."""
        if kept is not None and not self.goes_on_from(commit, kept):
            ref = self.remote.kept_ref(refs.LEDGER)
            named = f"(this clone keeps {kept[:12]} at {ref})"
            raise self._damaged(commit, "what this clone has seen", named)

    def require_reviewed(self, commit: str | None) -> None:
        """`LedgerDamaged` when it lacks the commit that a reviewed file says it holds."""
        if self.contains and not self.goes_on_from(commit, self.contains):
            named = f"(`ledger_contains: {self.contains[:12]}…`)"
            raise self._damaged(commit, f"what {DEFAULTS_FILE} names", named)

    def require_unused(self, ledger: Ledger) -> None:
        """`LedgerDamaged` when there is no ledger, though there once was one."""
        traces = self.traces.of_any(ledger)
        if traces:
            raise LedgerDamaged(
                f"there is no ledger {self.ledger_ref} on {self.remote.name!r}, though experiments "
                f"ran here before: {'; '.join(traces)}. {_RESTORE}. To begin anew on purpose: "
                "`expci fsck --begin-anew`"
            )

    def require_no_newer_traces(self, ledger: Ledger) -> None:
        """`LedgerDamaged` when promotions left traces that the ledger knows nothing of.

        For clones that have seen no ledger: both it and what was published from it may have been
        put back to an old backup, and agree with one another.
        """
        traces = self.traces.newer(ledger)
        if traces:
            raise LedgerDamaged(
                f"the ledger {self.ledger_ref} on {self.remote.name!r} knows nothing of what "
                f"promotions left behind: {'; '.join(traces[:3])}. It may be an old backup. "
                f"{_RESTORE}. Where no newer copy is left: `expci fsck --accept-older`"
            )

    def forget(self) -> None:
        """Give up the copy that this clone keeps, and what it last saw published."""
        ref = self.remote.kept_ref(refs.LEDGER)
        if self.remote.kept.pop(ref, None) is not None:
            self.git.update_refs([f"delete {ref}"])
        published.cache_path(self.git).unlink(missing_ok=True)

    def _damaged(self, commit: str | None, than: str, named: str) -> LedgerDamaged:
        what = "is missing" if commit is None else f"is behind {than}"
        return LedgerDamaged(
            f"the ledger {self.ledger_ref} on {self.remote.name!r} {what} {named}. {_RESTORE}"
        )
