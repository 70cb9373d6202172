"""The last merges on a branch, for replay: what each brought, and the commit before it.

Every commit on the first-parent line brought something: a merge commit, a squashed pull
request, or one commit of a rebased one. Commits that follow one another and whose titles end in the
same `(#123)` are one pull request; git itself keeps no other trace of it, and a trial job
has to come to the same cases as the start did. Standard library only (the trial path).
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from expci.core.model import limits
from expci.core.model.cases import BadCases
from expci.errors import ExpciError
from expci.store.git.git import Git
from expci.store.git.time_limit import TimedOut

_SCANNED = 4  # times as many commits as are wanted
_ID_LENGTH = 12
_DEEPEN = "fetch the history (actions/checkout: `fetch-depth: 0`; elsewhere: git fetch --unshallow)"
_RECORD, _FIELD = "\x1e", "\x1f"
_NUMBER = re.compile(r"\(#([0-9]+)\)\s*$")


@dataclass(frozen=True)
class Merge:
    """What a pull request brought: the last of its `commits` on the first-parent line, and the
    commit before the first; `id` names the case."""

    commit: str
    before: str
    title: str
    commits: int = 1

    @property
    def id(self) -> str:
        return self.commit[:_ID_LENGTH]

    @property
    def hash(self) -> str:
        """What the case is by content; several commits are those between two."""
        return self.commit if self.commits == 1 else f"{self.before}..{self.commit}"

    @property
    def pull_request(self) -> str | None:
        """The number at the end of the title."""
        number = _NUMBER.search(self.title)
        return None if number is None else number[1]


@dataclass(frozen=True)
class _Size:
    lines: int
    is_binary: bool


@dataclass(frozen=True)
class _Commit:
    """A commit on the first-parent line; `is_merge` where it has several parents."""

    merge: Merge
    size: _Size
    is_merge: bool


def last_merges(git: Git, commit: str, count: int) -> tuple[list[Merge], tuple[str, ...]]:
    """At most `count` merges up to `commit`, the newest first, and which were skipped.

    Excluded are those without a change, with binary files, or with a huge diff.
    `ExpciError` where a shallow clone ends too early.
    """
    if git.resolve(commit) is None:
        raise ExpciError(f"the commit {commit[:12]} is not in this clone: {_DEEPEN}")
    _load_files(git, commit, _SCANNED * count)
    merges, skipped, unnamed = list[Merge](), dict[str, int](), 0
    for merge, size, is_named in _pull_requests(_commits(git, commit, _SCANNED * count)):
        reason = _unfit(size)
        if reason is None:
            merges.append(merge)
            unnamed += not is_named
        else:
            skipped[reason] = skipped.get(reason, 0) + 1
        if len(merges) == count:
            break
    if len(merges) < count and git.text("rev-parse", "--is-shallow-repository") == "true":
        raise ExpciError(
            f"this clone is shallow and holds {len(merges)} of the {count} merges to replay: "
            f"{_DEEPEN}"
        )
    if not merges:
        raise BadCases("has no merge that can be replayed", "merge something first")
    return merges, tuple(_notes(len(merges), count, skipped, unnamed))


def _pull_requests(commits: Iterable[_Commit]) -> Iterator[tuple[Merge, _Size, bool]]:
    """What each pull request brought, its size, and whether a commit names it, newest first."""

    def key(numbered: tuple[int, _Commit]) -> str:
        place, one = numbered
        number = None if one.is_merge else one.merge.pull_request
        return f"commit {place}" if number is None else f"pull request {number}"

    for name, group in itertools.groupby(enumerate(commits), key):
        own = [one for _, one in group]
        merge = replace(own[0].merge, before=own[-1].merge.before, commits=len(own))
        lines, is_binary = sum(o.size.lines for o in own), any(o.size.is_binary for o in own)
        is_named = own[0].is_merge or name.startswith("pull request")
        yield merge, _Size(lines, is_binary), is_named


def _load_files(git: Git, commit: str, most: int) -> None:
    """Bring what a partial clone lacks at once: each diff would ask the server for its own."""
    settings = git.attempt("config", "--name-only", "--get-regexp", r"^remote\..*\.promisor$")
    remotes = settings.stdout.decode(errors="surrogateescape").split()
    if not remotes:
        return
    history = ("--first-parent", f"-{most}", commit)
    listed = git.run("rev-list", "--objects", "--missing=print", *history)
    if b"\n?" not in b"\n" + listed:
        return
    name = remotes[0].removeprefix("remote.").removesuffix(".promisor")
    options = ("--refetch", "--no-filter", "--no-tags", "--no-write-fetch-head", "--progress")
    with contextlib.suppress(TimedOut):  # what is missing then is named by whoever needs it
        git.attempt_remote("fetch", *options, name, commit, env=git.promisor)


def _unfit(size: _Size) -> str | None:
    if size.is_binary:
        return "with binary files"
    if not size.lines:
        return "without a changed line"
    if size.lines > limits.MERGED_LINES:
        return f"of more than {limits.MERGED_LINES:,} lines"
    return None


def _notes(merges: int, count: int, skipped: dict[str, int], unnamed: int) -> Iterator[str]:
    if unnamed:
        yield (
            f"{unnamed} of the cases are a commit each that names no pull request as `(#123)` at "
            "the end of its title: where one was rebased, its commits are cases of their own"
        )
    if skipped:
        reasons = ", ".join(f"{number} {reason}" for reason, number in skipped.items())
        yield f"merges that are not replayed: {reasons}"
    if merges < count:
        yield f"{merges} of the {count} wanted merges can be replayed"


def _commits(git: Git, commit: str, most: int) -> Iterator[_Commit]:
    """Commits with a parent along the first-parent line, with the size of their diff."""
    output = git.run(
        *("log", "--first-parent", "-m", "--no-renames", "--numstat", f"-{most}"),
        *(f"--format={_RECORD}%H{_FIELD}%P{_FIELD}%s", commit, "--"),
    )
    for record in output.decode(errors="replace").split(_RECORD)[1:]:
        head, _, rows = record.partition("\n")
        oid, parents, title = head.split(_FIELD, 2)
        if parents:
            before = parents.split(" ")
            yield _Commit(Merge(oid, before[0], title), _size(rows), len(before) > 1)


def _size(rows: str) -> _Size:
    """The changed lines that `--numstat` counts: added, deleted, path; `-` for binary files."""
    counts = [row.split("\t", 2)[:2] for row in rows.splitlines() if row]
    is_binary = any("-" in count for count in counts)
    lines = sum(int(number) for count in counts for number in count if number.isdecimal())
    return _Size(lines, is_binary)
