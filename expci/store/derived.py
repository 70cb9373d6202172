"""Files that are made from the ledger, kept beside it: reports, looks, what the forge was told.

`refs/expci/derived` is one commit without parents, replaced each time, so that files which
change at every look leave no history. It is a cache for people and for speed: whoever may push
refs can write anything there, and it may be gone tomorrow. So nothing is decided by it, whatever
is read from it is validated by its reader, and the pass makes again what is missing.

To read: `ledger.derived.read(path)`. To write: `LedgerChange.of(message, files, derived={path:
data})`, where `None` removes a path; it goes with the ledger's own push.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from expci.core.model.content import Blob
from expci.errors import GitError
from expci.store.git.git import Git

MOST_BYTES = 20_000_000  # of one file that is read
MESSAGE = "Made from the ledger"


@dataclass(frozen=True)
class Derived:
    """The files at one commit; `None`: there are none yet. `_changes` are not written yet."""

    git: Git
    commit: str | None = None
    _changes: Mapping[str, Blob | None] = field(default_factory=dict, repr=False)

    @cached_property
    def entries(self) -> Mapping[str, Blob]:
        """What is there, by path; nothing where the commit is none, or cannot be read."""
        try:
            there = self.git.read_tree(self.commit) if self.commit else {}
        except GitError:
            there = {}
        both: dict[str, Blob | None] = {**there, **self._changes}
        return {path: blob for path, blob in both.items() if blob is not None}

    def read(self, path: str) -> bytes | None:
        """The bytes at a path; `None` where there is no file, or none that is fit to be read."""
        return self.read_many([path]).get(path)

    def read_many(self, wanted: Iterable[str]) -> dict[str, bytes]:
        """The bytes of the paths that can be read."""
        oids = {path: self.entries[path].oid for path in wanted if path in self.entries}
        ours = {blob.oid for blob in self._changes.values() if blob}
        data = self.git.cat(self._fit(oid for oid in oids.values() if oid not in ours))
        data |= self.git.cat(ours.intersection(oids.values()))
        return {path: data[oid] for path, oid in oids.items() if oid in data}

    def _fit(self, oids: Iterable[str]) -> list[str]:
        """Those that are files of a size to be read."""
        sizes = self.git.sizes(oids).items()
        return [oid for oid, size in sizes if size and size[0] == "blob" and size[1] <= MOST_BYTES]

    def after(self, changes: Mapping[str, bytes | None]) -> Derived:
        """The files as `changes` make them (`None` removes a path); the same where none does."""
        contents = {path: data for path, data in changes.items() if data is not None}
        oids = self.git.write_blobs(contents.values())
        new: dict[str, Blob | None] = dict.fromkeys(changes)
        new |= {p: Blob("100644", oid) for p, oid in zip(contents, oids, strict=True)}
        news = {path: blob for path, blob in new.items() if self.entries.get(path) != blob}
        return replace(self, _changes={**self._changes, **news}) if news else self

    def written(self) -> Derived:
        """The same with the commit that holds it, on which nothing is built up."""
        if not self._changes:
            return self
        base = self.commit if self._is_commit else None
        tree = self.git.write_tree(base, self._changes)
        return Derived(self.git, self.git.commit_tree(tree, [], MESSAGE))

    def alone(self) -> Derived:
        """Only what changed: where something that is there cannot be gone on with."""
        return Derived(self.git, None, self._changes)

    @property
    def _is_commit(self) -> bool:
        return self.commit is not None and self.git.resolve(self.commit) is not None
