"""Fetching from and pushing to the remote that holds expci's refs.

`origin`, or the repository itself (`.`) where there is none. Refs arrive in a private
namespace of their own for each call, so parallel fetches in one clone never meet, and
none of the user's refs, FETCH_HEAD or shallow file is touched. Standard library only.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from expci.errors import ExpciError, LostRace, Refused, Unreachable
from expci.store.git import credentials, refs
from expci.store.git.git import Git

SELF = "."


@dataclass(frozen=True)
class Update:
    """One ref to push. `new` of `None` deletes it.

    `old` is the lease: the id that the remote must still hold, "" for a ref that must
    not exist yet, `None` for no lease.
    """

    ref: str
    new: str | None
    old: str | None = None

    @property
    def refspec(self) -> str:
        return f"{self.new or ''}:{self.ref}"

    @property
    def lease(self) -> list[str]:
        return [] if self.old is None else [f"--force-with-lease={self.ref}:{self.old}"]


@dataclass(frozen=True)
class Remote:
    """The place of truth. `name` is a remote's name, or `.` for the repository itself.

    `environment` is what git's calls to it get on top of their own; `kept` are the refs of
    fetched objects as the last fetch found them here.
    """

    git: Git
    name: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    kept: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, git: Git, name: str | None = None, token: str = "", server: str = "") -> Remote:
        """The remote asked for, else `origin`, else the repository itself.

        A `token` of the forge at `server` serves where the checkout has no credentials.
        """
        known = git.remotes()
        if name is not None and name != SELF and name not in known:
            raise ExpciError(
                f"no remote named {name!r}; this repository has: {', '.join(known) or 'none'}"
            )
        chosen = name or ("origin" if "origin" in known else SELF)
        own = {} if chosen == SELF else credentials.token_environment(git, chosen, token, server)
        return cls(git, chosen, own)

    @property
    def is_self(self) -> bool:
        return self.name == SELF

    def fetch(self, *patterns: str) -> dict[str, str]:
        """Remote refs matching the patterns: name → object id, with their objects here.

        A pattern without a `*` gets one at its end: fetching a ref by its exact name
        fails whole when it is not there, a wildcard does not. Exact names win, so
        `refs/expci/published` never brings `refs/expci/published-by-a-stranger` along.
        """
        space = f"{refs.FETCHED}/now-{secrets.token_hex(8)}/"
        specs = []
        for pattern in patterns:
            source = pattern if "*" in pattern else pattern + "*"
            specs.append(f"+{source}:{space}{source.removeprefix('refs/')}")
        try:
            self._fetch(specs)
        finally:
            here = self.git.refs(refs.FETCHED)
            found = {ref: oid for ref, oid in here.items() if ref.startswith(space)}
            self.git.update_refs(f"delete {ref} {oid}" for ref, oid in found.items())
            self.kept.update(here)
        exact = {pattern for pattern in patterns if "*" not in pattern}
        stems = tuple(pattern.split("*")[0] for pattern in patterns if "*" in pattern)
        named = {"refs/" + ref.removeprefix(space): oid for ref, oid in found.items()}
        return {r: oid for r, oid in named.items() if r in exact or (stems and r.startswith(stems))}

    def _fetch(self, specs: Sequence[str]) -> None:
        result = self.git.attempt(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--refmap=",  # or git moves the user's refs/remotes along, and two fetches collide
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            self.name,
            *specs,
            env=self.environment,
        )
        if result.returncode != 0:
            stderr = result.stderr.decode(errors="replace").strip()
            raise Unreachable(f"the remote {self.name!r} could not be read: {stderr}", stderr)

    def keep(self, ref: str, oid: str) -> None:
        """Remember a fetched object so that the next fetch brings only what is new."""
        if self.kept.get(refs.fetched(ref)) == oid:
            return
        self.kept[refs.fetched(ref)] = oid
        # A lost race for this ref costs nothing: another process remembered it.
        self.git.attempt("update-ref", refs.fetched(ref), oid)

    def push(self, updates: Sequence[Update], *, atomic: bool = False) -> None:
        """Push; `LostRace` when a lease did not hold, `Unreachable` when it was refused."""
        if not updates:
            return
        result = self.git.attempt(
            "push",
            "--porcelain",
            "--no-verify",
            *(["--atomic"] if atomic else []),
            *[option for update in updates for option in update.lease],
            self.name,
            *[update.refspec for update in updates],
            env=self.environment,
        )
        if result.returncode == 0:
            return
        stderr = result.stderr.decode(errors="replace").strip()
        refused = _rejections(result.stdout.decode(errors="replace"))
        gone = {update.ref for update in updates if update.new is None}
        if refused and all(ref in gone and _is_race(why) for ref, why in refused.items()):
            # Somebody else deleted it first, or it holds something newer: either is fine.
            return
        if any(_is_race(why) for why in refused.values()):
            raise LostRace(f"another writer was first: {', '.join(sorted(refused))}")
        reasons = "; ".join(f"{ref} {why}" for ref, why in refused.items()) or stderr
        if refused:
            raise Refused(f"the remote {self.name!r} refused the push: {reasons}", stderr)
        raise Unreachable(f"nothing could be pushed to {self.name!r}: {reasons}", stderr)

    def advance(self, branch: str, old: str, new: str) -> None:
        """Move a branch from `old` to `new`; `Refused` where rules or the checkout forbid it."""
        if not (self.is_self and self.git.branch() == branch):
            try:
                return self.push([Update(refs.head(branch), new, old)])
            except LostRace as error:
                raise LostRace(f"{branch} moved meanwhile; run the command again") from error
        # The user has this branch checked out here: git itself moves branch, index and files.
        result = self.git.attempt("merge", "--ff-only", "--quiet", new)
        if result.returncode != 0:
            stderr = result.stderr.decode(errors="replace").strip()
            raise Refused(
                f"{branch} is checked out here and cannot be moved forward: {stderr}. Commit or "
                "stash your changes, then run the command again"
            )
        return None

    def default_branch(self) -> str:
        """The branch that the remote's HEAD names; where HEAD names none, `main` or `master`."""
        result = self.git.attempt(
            "ls-remote", "--symref", self.name, "HEAD", "refs/heads/*", env=self.environment
        )
        if result.returncode != 0:
            stderr = result.stderr.decode(errors="replace").strip()
            raise Unreachable(f"the remote {self.name!r} could not be read: {stderr}", stderr)
        lines = [line.split() for line in result.stdout.decode().splitlines()]
        heads = [
            words[1].removeprefix("refs/heads/") for words in lines if "refs/heads" in words[1]
        ]
        usual = [self.git.config("init.defaultBranch"), "main", "master"]
        # Without a server HEAD is whatever the user has checked out, so the usual names go first.
        named = [words[1].removeprefix("refs/heads/") for words in lines if words[0] == "ref:"]
        wanted = [*usual, *named] if self.is_self else [*named, *usual]
        found = [name for name in wanted if name in heads]
        return (found or heads or ["main"])[0]


def _rejections(porcelain: str) -> Mapping[str, str]:
    """Refused refs and git's reason, from `git push --porcelain`."""
    rows = (line.split("\t") for line in porcelain.splitlines() if line.startswith("!"))
    return {row[1].split(":", 1)[-1]: row[2] for row in rows if len(row) > 2}


def _is_race(why: str) -> bool:
    words = (
        "stale info",
        "fetch first",
        "non-fast",
        "failed to update ref",
        "cannot lock ref",
        "incorrect old value",
        "atomic transaction failed",
    )
    return any(word in why for word in words)
