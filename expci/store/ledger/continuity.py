"""Whether the ledger on the remote is still the one that it was.

A ledger that is gone, or older than it was, is never gone on with: decisions and watches
would be lost without a word. What it is checked against: the published document, the copy
that this clone keeps, and, where there is neither, the traces that a past life left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from expci.errors import LedgerDamaged
from expci.store import published
from expci.store.git import bounded, refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.published import Published

# What expci's commits on the base branch end with; `docs/data-model.md` names them.
REVERT_TRAILER, PROMOTE_TRAILER = "Expci-Revert", "Expci-Promote"
_RESTORE = (
    "Nothing was changed. `expci fsck --restore`, in the clone that ran expci last, brings "
    "back the copy that it keeps"
)


_MOST = 2000  # commits whose messages are read


def _has(ledger: Ledger, name: str, word: str) -> bool:
    """Whether an experiment is in the ledger, and an event of that name in its life."""
    if name not in ledger.experiments:
        return False
    return not word or any(event.word == word for event in ledger.life(name).events)


@dataclass(frozen=True)
class Continuity:
    """The checks for one ledger: the ref `ledger_ref` on `remote`."""

    remote: Remote
    ledger_ref: str

    @property
    def git(self) -> Git:
        return self.remote.git

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

    def require_unused(self) -> None:
        """`LedgerDamaged` when there is no ledger, though there once was one."""
        traces = [*self._traces_on_remote(), *self._traces_here()]
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
        traces = self.newer_traces(ledger)
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

    def _traces_on_remote(self) -> Iterable[str]:
        branches = (*refs.promote_branches("*"), *refs.revert_branches("*"))
        patterns = (refs.backup("*"), refs.promoted("*"), *map(refs.head, branches))
        names = sorted(self.remote.names(*patterns, refs.MIRROR_BRANCH))
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"{self.remote.name} holds {', '.join(names[:3])}{more}"

    def _traces_here(self) -> Iterable[str]:
        cached = None
        with contextlib.suppress(OSError, LedgerDamaged):
            path = published.cache_path(self.git)
            cached = published.parse_published(bounded.read_file(path, published.MOST_BYTES))
        if cached is not None and cached.ledger:
            yield f"this clone knows of the ledger {cached.ledger[:12]}"
        commit = self._trailer()
        if commit:
            yield f"the history holds {commit}"

    def _unknown_refs(self, ledger: Ledger) -> Iterable[str]:
        accepted = self._accepted(ledger)
        for ref, oid in sorted(self.remote.names(refs.backup("*"), refs.promoted("*")).items()):
            name = ref.rsplit("/", 1)[-1]
            # A pass that is killed has pushed its copy and recorded no event yet.
            is_known = _has(ledger, name, "promote_opened" if ref == refs.promoted(name) else "")
            if not is_known and f"{ref} {oid}" not in accepted:
                yield f"{ref} {oid}"

    def _unknown_trailers(self, ledger: Ledger) -> Iterable[str]:
        """Of experiments that the ledger knows: a fork may have others in its history."""
        form = "%H %(trailers:key={},valueonly,separator=%x2C)"
        accepted = self._accepted(ledger)
        for key, word in ((PROMOTE_TRAILER, "promote_opened"), (REVERT_TRAILER, "promoted")):
            log = self.git.attempt("log", "-n", str(_MOST), f"--format={form.format(key)}", "HEAD")
            for line in log.stdout.decode(errors="backslashreplace").split("\n"):
                commit, _, values = line.partition(" ")
                names = {value.split(" ")[0] for value in values.split(",") if value}
                for name in names & set(ledger.experiments):
                    trace = f"{key} of {name} in {commit}"
                    if not _has(ledger, name, word) and trace not in accepted:
                        yield trace

    def _accepted(self, ledger: Ledger) -> frozenset[str]:
        text = ledger.read(paths.ACCEPTED)
        return frozenset() if text is None else frozenset(text.decode().splitlines())

    def newer_traces(self, ledger: Ledger) -> list[str]:
        """Every trace that the ledger knows nothing of, one line each."""
        return [*self._unknown_refs(ledger), *self._unknown_trailers(ledger)]

    def _trailer(self) -> str:
        """The newest commit of a promotion or revert of expci's, as far as it is here."""
        which = f"^({REVERT_TRAILER}|{PROMOTE_TRAILER}): "
        log = self.git.attempt(
            "log", "-n", "1", "--format=%h %s", "--extended-regexp", f"--grep={which}",
            "HEAD", f"--remotes={self.remote.name}",
        )  # fmt: skip
        lines = log.stdout.decode(errors="backslashreplace").split("\n")
        return lines[0][:80] if log.returncode == 0 else ""
