"""Fetching from and pushing to the remote that holds expci's refs.

`origin`, the only remote, or the repository itself (`.`) where there is none. Refs arrive
in a private namespace of their own for each call, so parallel fetches in one clone never
meet, and none of the user's refs, FETCH_HEAD or shallow file is touched. Standard library
only.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager

from expci.core.value_class import dataclass, field
from expci.errors import ExpciError, LostRace, Refused, Unreachable
from expci.store.git import credentials, refs, refusal
from expci.store.git.git import Addresses, Git
from expci.store.git.listing import Listing
from expci.store.git.scratch import Scratch, living
from expci.store.git.time_limit import TimedOut

SELF = "."
_MOST_BY_ID = 200  # objects that one command line names
_SOON = ("core.packedRefsTimeout=5000",)
_NOT_ATOMIC = b"does not support --atomic"
# Remotes that went silent, by clone and name: a second call would wait as long again.
_silent: dict[tuple[str, str], str] = {}


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
    fetched objects as the last fetch left them here. `addresses` is where it is read and
    written.
    """

    git: Git
    name: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    kept: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    addresses: Addresses = field(default=Addresses("", ()), repr=False, compare=False)
    _present: set[str] = field(default_factory=set, repr=False, compare=False)
    _listed: Listing = field(default_factory=Listing, repr=False, compare=False)

    @classmethod
    def of(cls, git: Git, name: str | None = None, token: str = "", server: str = "") -> Remote:
        """The remote that was named, else `origin`, else the only one, else the repository itself.

        A `token` of the forge at `server` serves where the checkout has no credentials.
        """
        remotes = git.addresses()
        chosen = name or _usual(remotes)
        if chosen == SELF:
            return cls(git, SELF)
        if chosen not in remotes:
            raise ExpciError(
                f"no remote named {chosen!r}; this repository has: {', '.join(remotes) or 'none'}"
            )
        own = credentials.token_environment(git, chosen, token, server)
        return cls(git, chosen, own, addresses=remotes[chosen])

    @property
    def is_self(self) -> bool:
        return self.name == SELF

    @contextmanager
    def listed_once(self) -> Iterator[None]:
        """Within, one listing of its refs serves all questions, with what is pushed put in.

        Others may push meanwhile: every write has a lease, and one that did not hold has
        the refs listed again.
        """
        before = self._listed.is_kept  # a verb within a pass
        self._listed.is_kept = True
        try:
            yield
        finally:
            self._listed.is_kept = before
            if not before:
                self._listed.forget()

    def list_again(self) -> None:
        """The refs may have moved by something other than a push of this process."""
        self._listed.forget()

    def fetch(self, *patterns: str, seconds: float | None = None) -> dict[str, str]:
        """Remote refs matching the patterns: name → object id, with their objects here.

        A pattern without a `*` gets one at its end: fetching a ref by its exact name
        fails whole when it is not there, a wildcard does not. Exact names win, so
        `refs/expci/published` never brings `refs/expci/published-by-a-stranger` along. Where
        nothing is new since this process last fetched or pushed, a listing is enough. What takes
        longer than `seconds` is `Unreachable`, and the remote is used for other things after it.
        """
        sources = [pattern if "*" in pattern else pattern + "*" for pattern in patterns]
        if self._present or self._listed.is_kept:
            listed = _matching(self.names(*sources), patterns)
            present = listed or self._present  # the first fetch tells what this clone keeps, too
            if present and self._present.issuperset(listed.values()):
                return listed
            if self._present and self._fetch_objects({*listed.values()} - self._present, seconds):
                return listed
        fetched = _matching(self._fetch_all(sources, seconds), patterns)
        if self._listed.is_kept and fetched != listed:
            self._listed.forget()  # somebody pushed between the two
        self._present.update(fetched.values())
        return fetched

    def _fetch_objects(self, oids: Set[str], seconds: float | None) -> bool:
        """Bring objects that refs were just listed with, by one call of git instead of three.

        A server may refuse to give what no ref of it holds any more, or not know this at all.
        """
        if len(oids) > _MOST_BY_ID or self._fetched(sorted(oids), seconds).returncode != 0:
            return False
        self._present.update(oids)
        return True

    def fetch_one(self, ref: str) -> str | None:
        """The object that the remote has at `ref`, here as well; `None` where there is no such ref.

        One call of git, where `fetch` takes three: git moves the ref of this clone that keeps it.
        What another process fetches at the same moment is as new.
        """
        if self._present or self._listed.is_kept:
            return self.fetch(ref).get(ref)
        kept = self.kept_ref(ref)
        result = self._fetched([f"+{ref}:{kept}"])
        if result.returncode == 0:
            commit = self.git.require(kept)
            self._present.add(commit)
            return commit
        if refusal.classify(refusal.visible_text(result.stderr)) in ("network", "permission"):
            raise self._unreadable(result.stderr)
        return self.fetch(ref).get(ref)  # there is none, or another process moves the same ref

    def _fetch_all(self, sources: Sequence[str], seconds: float | None) -> dict[str, str]:
        space = f"{refs.FETCHED}/now-{self._token()}-{os.urandom(4).hex()}/"
        try:
            self._fetch([f"+{s}:{space}{s.removeprefix('refs/')}" for s in sources], seconds)
        finally:
            here = self.git.refs(refs.FETCHED)
            fetched = {ref: oid for ref, oid in here.items() if ref.startswith(space)}
            left_behind = self._left_behind(here)
            self._clear(fetched, left_behind)
            gone = fetched | left_behind
            self.kept.update({ref: oid for ref, oid in here.items() if ref not in gone})
        return {"refs/" + ref.removeprefix(space): oid for ref, oid in fetched.items()}

    def _clear(self, fetched: Mapping[str, str], left_behind: Mapping[str, str]) -> None:
        """Delete refs that nothing needs any more; where it cannot be done now, the next verb does.

        A git that died may have left the lock of `packed-refs`.
        """
        all_at_once = "".join(f"delete {ref} {oid}\n" for ref, oid in fetched.items())
        # Of those that were left behind, another verb may have cleared one since it was listed.
        single = (f"delete {ref} {oid}\n" for ref, oid in left_behind.items())
        for lines in filter(None, (all_at_once, *single)):
            data = lines.encode(errors="surrogateescape")
            done = self.git.attempt("update-ref", "--stdin", stdin=data, config=_SOON)
            if b"packed-refs.lock" in done.stderr:
                return

    def _token(self) -> str:
        try:
            return Scratch.of(self.git.private_dir).token
        except OSError:
            return os.urandom(8).hex()

    def _left_behind(self, here: Mapping[str, str]) -> dict[str, str]:
        """Refs of fetches that a killed process never cleared."""
        spaces = {ref: ref.removeprefix(f"{refs.FETCHED}/now-") for ref in here if "/now-" in ref}
        if not spaces:
            return {}
        alive = living(self.git.private_dir)
        owners = {ref: re.split("[-/]", space, maxsplit=1)[0] for ref, space in spaces.items()}
        return {ref: here[ref] for ref, owner in owners.items() if owner not in alive}

    def _fetch(self, specs: Sequence[str], seconds: float | None = None) -> None:
        result = self._fetched(specs, seconds)
        if result.returncode != 0:
            raise self._unreadable(result.stderr)

    def _fetched(
        self, specs: Sequence[str], seconds: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return self._call(
            "fetch",
            "--progress",  # a sign of life
            "--no-tags",
            "--no-prune",
            "--no-write-fetch-head",
            "--refmap=",  # or git moves the user's refs/remotes along, and two fetches collide
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--no-filter",  # in a partial clone each file would be fetched by itself
            self.name,
            *specs,
            seconds=seconds,
        )

    def _call(
        self,
        *arguments: str,
        config: Sequence[str] = (),
        patient: bool = False,
        seconds: float | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """git where it talks to the remote; `Unreachable` for one that is silent."""
        key = (str(self.git.root), self.name)
        if key in _silent:
            raise Unreachable(_silent[key])
        try:
            return self.git.attempt_remote(
                *arguments, env=self.environment, config=config, patient=patient, seconds=seconds
            )
        except TimedOut as error:
            if seconds is not None:
                what = f"{' '.join(arguments[:1])} from the remote {self.name!r} {error}"
                raise Unreachable(what) from error
            message = (
                f"the remote {self.name!r} {error}, and was not tried again. Check the network; "
                "EXPCI_CONNECT_SECONDS, EXPCI_SILENCE_SECONDS and EXPCI_REMOTE_SECONDS set the "
                "limits"
            )
            _silent[key] = message
            self.git.load_no_more(message)
            raise Unreachable(message) from error

    def _unreadable(self, stderr: bytes) -> Unreachable:
        words = refusal.visible_text(stderr)
        if here := refusal.write_failure(words):
            return Unreachable(here, words)
        advice = refusal.ADVICE[refusal.classify(words)]
        words = refusal.excerpt(words)
        message = f"the remote {self.name!r} could not be read: {words.rstrip('.')}. "
        return Unreachable(message + advice[:1].upper() + advice[1:], words)

    def keep(self, ref: str, oid: str) -> None:
        """Remember a fetched object so that the next fetch brings only what is new."""
        if self.kept.get(self.kept_ref(ref)) == oid:
            return
        self.kept[self.kept_ref(ref)] = oid
        # A lost race for this ref costs nothing: another process remembered it.
        self.git.attempt("update-ref", self.kept_ref(ref), oid)

    def kept_ref(self, ref: str) -> str:
        """Where this clone keeps what it last saw of a ref of this remote."""
        return refs.fetched(ref, "" if self.name in ("origin", SELF) else self.name)

    def push(
        self, updates: Sequence[Update], *, atomic: bool = False, patient: bool = False
    ) -> None:
        """Push; `LostRace` when a lease did not hold, `Refused` or `Unreachable` otherwise.

        A `patient` push is given the time of a whole call: git says nothing for as long as it
        compares thousands of refs.
        """
        if not updates:
            return None
        place = self._writable()
        self._refuse_symbolic(update.ref for update in updates)
        result = self._call(
            "push",
            "--porcelain",
            "--progress",
            "--no-verify",
            *(["--atomic"] if atomic else []),
            *[option for update in updates for option in update.lease],
            place,
            *[update.refspec for update in updates],
            config=() if self.is_self else (f"remote.{self.name}.mirror=false",),
            patient=patient,
        )
        if result.returncode == 0:
            self._present.update(update.new for update in updates if update.new)
            self._listed.note((update.ref, update.new) for update in updates)
            return None
        if atomic and _NOT_ATOMIC in result.stderr:
            return self._push_in_turn(updates, patient=patient)
        self._listed.forget()
        refused = _rejections(result.stdout.decode(errors="surrogateescape"))
        gone = {update.ref for update in updates if update.new is None}
        why = refusal.of_push(result.stderr, refused)
        if refused and all(ref in gone and refusal.is_race(w) for ref, w in refused.items()):
            # Somebody else deleted it first, or it holds something newer: either is fine.
            return None
        if why.code == refusal.RACE:
            raise LostRace(f"another writer was first: {', '.join(sorted(refused))} ({why.words})")
        if refused:
            raise Refused(f"the remote {self.name!r} refused the push: {why}", why.words, why.code)
        raise Unreachable(f"nothing could be pushed to {self.name!r}: {why}", why.words)

    def _push_in_turn(self, updates: Sequence[Update], *, patient: bool) -> None:
        """The same for a server that takes no push as a whole: in order, so the ledger is first.

        What follows of one that arrived is made by the next pass, where this ends in between.
        """
        if all(update.new is None for update in updates):
            return self.push(updates, patient=patient)
        for update in updates:
            self.push([update], patient=patient)
        return None

    def _refuse_symbolic(self, names: Iterable[str]) -> None:
        """`Refused` for a ref of expci's that stands for a ref of somebody else's.

        What is pushed to it would overwrite that one: a `derived` that stands for `main`, `main`.
        """
        own = [
            ref
            for ref in names
            # A branch of people's may be another name of theirs; the inbox is create-only.
            if (refs.is_own(ref) or not ref.startswith(refs.HEADS)) and not refs.split_inbox(ref)
        ]
        targets = self.targets(*own) if own else {}
        for ref, target in sorted(targets.items()):
            if ref in own and not refs.is_own(target):
                words = (
                    f"{ref} stands for {target}, so what is written to it would be written there"
                )
                raise Refused(
                    f"nothing was pushed to {self.name!r}: {words}. Delete it where the repository "
                    f"is (`git symbolic-ref -d {ref}`), then run the command again",
                    words,
                )

    def _writable(self) -> str:
        """What to push to: the repository that is read, whatever else git would push to."""
        fetch, push = self.addresses
        if self.is_self or not push or push == (fetch,):
            return self.name
        same = [address for address in push if _place(address) == _place(fetch)]
        if not same:
            raise Refused(
                f"the remote {self.name!r} is read from {_printable(fetch)} but pushes to another "
                f"repository, {_printable(push[0])}; expci reads and writes one. Point both at it "
                f"(`git remote set-url --push {self.name} URL`), or name another remote with "
                "--remote"
            )
        return self.name if len(push) == 1 else same[0]

    def advance(self, branch: str, old: str, new: str) -> None:
        """Move a branch from `old` to `new`; `Refused` where rules or the checkout forbid it."""
        if not (self.is_self and self.git.branch() == branch):
            try:
                return self.push([Update(refs.head(branch), new, old)])
            except LostRace as error:
                raise LostRace(f"{branch} moved meanwhile; run the command again") from error
        # The user has this branch checked out here: git itself moves branch, index and files.
        result = self.git.attempt("merge", "--ff-only", "--quiet", new)
        self.list_again()
        if result.returncode != 0:
            raise Refused(
                f"{branch} is checked out here and cannot be moved forward: "
                f"{refusal.visible_text(result.stderr)}. Commit or stash your changes, then "
                "run the command again"
            )
        return None

    def default_branch(self) -> str:
        """The branch that the remote's HEAD names; where HEAD names none, `main` or `master`."""
        lines = [line.split("\t") for line in self._listing("HEAD", "refs/heads/*")]
        heads = [ref.removeprefix(refs.HEADS) for _, ref in lines if ref.startswith(refs.HEADS)]
        usual = [self.git.config("init.defaultBranch"), "main", "master"]
        # Without a server HEAD is whatever the user has checked out, so the usual names go first.
        named = [
            target.removeprefix(f"ref: {refs.HEADS}")
            for target, _ in lines
            if target.startswith("ref: ")
        ]
        wanted = [*usual, *named] if self.is_self else [*named, *usual]
        there = [name for name in wanted if name in heads]
        return (there or heads or ["main"])[0]

    def symbolic(self, *patterns: str) -> set[str]:
        """Refs that stand for another ref: to delete one is to delete what it points to."""
        return set(self.targets(*patterns))

    def targets(self, *patterns: str) -> dict[str, str]:
        """Each of those, and what it stands for."""
        rows = (line.split("\t") for line in self._listing(*patterns))
        return {row[1]: row[0].removeprefix("ref: ") for row in rows if row[0].startswith("ref: ")}

    def names(self, *patterns: str) -> dict[str, str]:
        """Remote refs matching the patterns, without their objects: name → object id."""
        rows = [line.split("\t") for line in self._listing(*patterns)]
        return {row[1]: row[0] for row in rows if not row[0].startswith("ref: ")}

    def listing(self) -> tuple[str, ...]:
        """All that a pass lists, as `git ls-remote --symref` prints it."""
        return tuple(self._listing(*refs.LISTED))

    def _listing(self, *patterns: str) -> list[str]:
        """Lines of `git ls-remote --symref`: an id, or `ref: ` and a name; a tab; a name."""
        return self._listed.lines(patterns, self._ask)

    def _ask(self, patterns: Sequence[str]) -> list[str]:
        # Older versions of git's protocol name the target of HEAD alone.
        config = ("protocol.version=2",)
        result = self._call("ls-remote", "--symref", self.name, *patterns, config=config)
        if result.returncode != 0:
            raise self._unreadable(result.stderr)
        text = result.stdout.decode(errors="surrogateescape")
        # `^{}` is what an annotated tag points to, and no ref.
        return [line for line in text.split("\n") if "\t" in line and not line.endswith("^{}")]


def _matching(named: Mapping[str, str], patterns: Sequence[str]) -> dict[str, str]:
    exact = {pattern for pattern in patterns if "*" not in pattern}
    stems = tuple(pattern.split("*")[0] for pattern in patterns if "*" in pattern)
    return {r: oid for r, oid in named.items() if r in exact or (stems and r.startswith(stems))}


def _usual(remotes: Mapping[str, Addresses]) -> str:
    if "origin" in remotes or not remotes:
        return "origin" if remotes else SELF
    if len(remotes) > 1:
        raise ExpciError(
            f"this repository has the remotes {', '.join(remotes)} and none is called origin: "
            "name the one that holds expci's refs with --remote NAME, or by `remote: NAME` in "
            "experiments/expci.yml"
        )
    return next(iter(remotes))


def _place(address: str) -> str:
    """Host and path of an address, the same for https, ssh and a path with or without .git."""
    text = re.sub(r"^[a-z+]+://", "", address)
    scp = re.match(r"^([^/]+@)?([^/:]+):(?!\d+/)(.*)$", text)
    if scp and not address.startswith(("http", "file")):
        text = f"{scp[2]}/{scp[3].lstrip('/')}"
    text = re.sub(r"^[^/@]+@", "", text)
    text = re.sub(r"^([^/:]+):\d+/", r"\1/", text)
    return text.rstrip("/").removesuffix(".git").rstrip("/").lower()


def _printable(address: str) -> str:
    """An address fit to be printed: without a password or token in it."""
    return re.sub(r"//[^/@]+@", "//", address)


def _rejections(porcelain: str) -> Mapping[str, str]:
    """Refused refs and git's reason, from `git push --porcelain`."""
    rows = (line.split("\t") for line in porcelain.split("\n") if line.startswith("!"))
    return {row[1].split(":", 1)[-1]: row[2] for row in rows if len(row) > 2}
