"""What promotions and ledgers leave behind in a repository, by which a loss is noticed.

A clone that has seen no ledger knows no older one to compare with. It asks the refs that
promotions left, the trailers of their commits, what is kept beside a ledger, and what this
clone once saw published.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from expci.core.model.arm import ID_PATTERN
from expci.errors import LedgerDamaged, Unreachable
from expci.store import published
from expci.store.git import bounded, refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger

# What expci's commits on the base branch end with; `docs/data-model.md` names them.
REVERT_TRAILER, PROMOTE_TRAILER = "Expci-Revert", "Expci-Promote"
_MOST = 2000  # commits whose messages are read
_NEAR = 50  # the same, of a branch or a ref that may be a promotion's
_MOST_REFS = 50  # refs that are looked at


def _has(ledger: Ledger, name: str, word: str) -> bool:
    """Whether an experiment is in the ledger, and an event of that name in its life."""
    if name not in ledger.experiments or not word:
        return name in ledger.experiments
    try:
        return any(event.word == word for event in ledger.life(name).events)
    except LedgerDamaged:
        return True  # `expci fsck` names it: no reason to take the whole for a backup


def _left_by_promotions(name: str) -> tuple[str, ...]:
    branches = (*refs.promote_branches(name), *refs.revert_branches(name))
    return refs.backup(name), refs.promoted(name), *map(refs.head, branches)


def _experiment_of(ref: str) -> str:
    """The experiment whose promotion left the ref; "" for a name that none can have left."""
    stems = [pattern.removesuffix("*") for pattern in _left_by_promotions("*")]
    names = [ref.removeprefix(stem) for stem in stems if ref.startswith(stem)]
    return names[0] if names and re.fullmatch(ID_PATTERN, names[0]) else ""


def _beside(ledger: Ledger) -> Iterator[str]:
    """Of what is kept beside a ledger, what exists only where an experiment ran."""
    of_runs = {kind("*").rpartition("/")[2] for kind in (paths.analysis, paths.looks, paths.report)}
    names = {path.split("/")[1] for path in ledger.derived.entries if _is_one_of(path, of_runs)}
    if names:
        yield f"{refs.DERIVED} holds results of {', '.join(sorted(names)[:3])}"


def _is_one_of(path: str, files: set[str]) -> bool:
    parts = path.split("/")
    return len(parts) == 3 and parts[0] == paths.EXPERIMENTS and parts[2] in files


@dataclass(frozen=True)
class Traces:
    """The traces of ledgers on `remote` and in this clone, one line for a person each."""

    remote: Remote

    @property
    def git(self) -> Git:
        return self.remote.git

    def of_any(self, ledger: Ledger) -> list[str]:
        """All that says that there once was a ledger, where there is none now."""
        return [*self._on_remote(), *self._here(), *_beside(ledger)]

    def newer(self, ledger: Ledger) -> list[str]:
        """Every trace that the ledger knows nothing of."""
        return [*self._unknown_refs(ledger), *self._unknown_trailers(ledger)]

    def _on_remote(self) -> Iterable[str]:
        patterns = (*_left_by_promotions("*"), refs.set_aside("*"), refs.MIRROR_BRANCH)
        names = sorted(self.remote.names(*patterns))
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"{self.remote.name} holds {', '.join(names[:3])}{more}"

    def _here(self) -> Iterable[str]:
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
        """Refs of promotions that the ledger knows nothing of; anything else there is nobody's.

        Whoever may push can put a ref anywhere, and one more must stop nobody.
        """
        accepted, listed = self._accepted(ledger), self.remote.names(*_left_by_promotions("*"))
        candidates = {
            ref: name
            for ref, oid in sorted(listed.items())
            if (name := _experiment_of(ref)) and f"{ref} {oid}" not in accepted
            # A pass that is killed has pushed its copy and recorded no event yet.
            if not _has(ledger, name, "" if ref == refs.backup(name) else "promote_opened")
        }
        for ref, oid in self._fetched([*candidates][:_MOST_REFS]).items():
            if self._is_newer_promotion(ledger, oid, candidates[ref]):
                yield f"{ref} {oid}"

    def _fetched(self, names: list[str]) -> dict[str, str]:
        """The refs of commits among them, with their history here."""
        if not names:
            return {}
        try:
            fetched = self.remote.fetch(*names)
        except Unreachable:  # what one of them names may be missing on the server
            if len(names) == 1:
                return {}
            fetched = {ref: oid for name in names for ref, oid in self._fetched([name]).items()}
        return {ref: oid for ref, oid in fetched.items() if self.git.resolve(oid) and ref in names}

    def _is_newer_promotion(self, ledger: Ledger, commit: str, name: str) -> bool:
        """Whether a promotion that this ledger knows nothing of left the commit."""
        known = name in ledger.experiments
        rested_on = {value for _, value in self._trailers(PROMOTE_TRAILER, name, commit, _NEAR)}
        if rested_on:
            return any(not self._holds(ledger, on) if on else not known for on in rested_on)
        # A lab's experiment may be on no base branch: then its merge and its trailer tell.
        return not known and self._held_experiment(commit, name)

    def _holds(self, ledger: Ledger, commit: str) -> bool:
        return ledger.commit is not None and self.git.is_ancestor(commit, ledger.commit)

    def _held_experiment(self, commit: str, name: str) -> bool:
        paths_there = self.git.run("ls-tree", "-r", "-z", "--name-only", commit).split(b"\0")
        return any(path.endswith(f"/{name}/experiment.yml".encode()) for path in paths_there)

    def _trailers(self, key: str, name: str, revision: str, most: int) -> Iterator[tuple[str, str]]:
        """(commit, value after the name) of each trailer of an experiment, newest first."""
        for commit, word, rest in self._all_trailers(key, revision, most):
            if word == name:
                yield commit, rest

    def _all_trailers(self, key: str, revision: str, most: int) -> Iterator[tuple[str, str, str]]:
        form = f"--format=%H %(trailers:key={key},valueonly,separator=%x2C)"
        log = self.git.attempt("log", "-n", str(most), form, revision)
        for line in log.stdout.decode(errors="backslashreplace").split("\n"):
            commit, _, values = line.partition(" ")
            for value in filter(None, values.split(",")):
                name, _, rest = value.partition(" ")
                yield commit, name, rest.strip()

    def _unknown_trailers(self, ledger: Ledger) -> Iterable[str]:
        """Of experiments that the ledger knows: a fork may have others in its history."""
        accepted = self._accepted(ledger)
        for key, word in ((PROMOTE_TRAILER, "promote_opened"), (REVERT_TRAILER, "promoted")):
            trailers = self._all_trailers(key, "HEAD", _MOST)
            newest = {name: (commit, rest) for commit, name, rest in reversed(list(trailers))}
            for name in sorted(newest.keys() & set(ledger.experiments)):
                commit, rest = newest[name]
                trace = f"{key} of {name} in {commit}"
                if _has(ledger, name, word) or trace in accepted:
                    continue
                if key != PROMOTE_TRAILER or not rest or not self._holds(ledger, rest):
                    yield trace

    def _accepted(self, ledger: Ledger) -> frozenset[str]:
        text = ledger.read(paths.ACCEPTED)
        return (
            frozenset() if text is None else frozenset(text.decode(errors="replace").splitlines())
        )

    def _trailer(self) -> str:
        """The newest commit of a promotion or revert of expci's, as far as it is here."""
        which = f"^({REVERT_TRAILER}|{PROMOTE_TRAILER}): "
        log = self.git.attempt(
            "log", "-n", "1", "--format=%h %s", "--extended-regexp", f"--grep={which}",
            "HEAD", f"--remotes={self.remote.name}",
        )  # fmt: skip
        lines = log.stdout.decode(errors="backslashreplace").split("\n")
        return lines[0][:80] if log.returncode == 0 else ""
