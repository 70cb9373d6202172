"""The last merges on a branch, for replay: what each brought, and the commit before it.

Every commit on the first-parent line brought something: a merge commit, a squashed pull
request, or one commit of a rebased one. Neighbours on that line are one pull request where their
titles end in the same `(#123)`, or where one rebase wrote them: the same committer in the same
moment, each later than its author did. GitHub's "Rebase and merge" leaves that and no other trace
in git, and a trial job, which has git only, comes to the same cases as the start did. Standard
library only (the trial path).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence

from expci.core.lazy_pattern import lazy_pattern
from expci.core.model import limits
from expci.core.model.cases import BadCases
from expci.core.model.content import SPEC_NAME
from expci.core.value_class import dataclass, replace
from expci.errors import ExpciError
from expci.store.git.git import DEEPEN, Git
from expci.store.git.time_limit import TimedOut

_SCANNED, _AT_LEAST = 4, 100  # times as many commits as are wanted, and never fewer
_FURTHER = 8  # times as many again where that brings too few
_ONE_REBASE_S = 2  # GitHub writes nearly all commits of a rebase within one second
_ID_LENGTH = 12
_FIELD = "\x1f"
_FIELDS = ("%H", "%P", "%ct", "%at", "%cn <%ce>", "%s")  # what people write comes last
_NUMBER = lazy_pattern(r"\(#([0-9]+)\)\s*$")


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
    """`is_own` where nothing but the files of experiments changed."""

    lines: int
    is_binary: bool
    is_own: bool = False


@dataclass(frozen=True)
class _Commit:
    """A commit on the first-parent line; `is_merge` where it has several parents.

    `before` of its merge is empty where the history ends. `committed` and `authored` are times in
    seconds; where they differ, something wrote the commit again.
    """

    merge: Merge
    size: _Size
    is_merge: bool
    committer: str
    committed: int
    authored: int

    @property
    def is_rewritten(self) -> bool:
        return self.committed != self.authored

    @property
    def is_named(self) -> bool:
        """Whether the commit tells by itself that it is a pull request, or a part of one."""
        return self.is_merge or self.is_rewritten or self.merge.pull_request is not None


@dataclass(frozen=True)
class _PullRequest:
    merge: Merge
    size: _Size
    is_named: bool


def last_merges(git: Git, commit: str, count: int) -> tuple[list[Merge], tuple[str, ...]]:
    """At most `count` merges up to `commit`, the newest first, and which were skipped.

    Excluded are those without a change, with binary files, or with a huge diff.
    `ExpciError` where a shallow clone ends too early.
    """
    if git.resolve(commit) is None:
        raise ExpciError(f"the commit {commit[:12]} is not in this clone: {DEEPEN}")
    most = max(_AT_LEAST, _SCANNED * count)
    fit, skipped = _fit(_pull_requests(git, commit, most), count)
    if len(fit) < count:
        fit, skipped = _fit(_pull_requests(git, commit, _FURTHER * most), count)
    if len(fit) < count and git.is_shallow:
        raise ExpciError(
            f"this clone is shallow and holds {len(fit)} of the {count} merges to replay: {DEEPEN}"
        )
    if not fit:
        raise BadCases("has no merge that can be replayed", "merge something first")
    notes = _notes(len(fit), count, skipped, sum(not one.is_named for one in fit))
    return [one.merge for one in fit], tuple(notes)


def _fit(
    pull_requests: Iterable[_PullRequest], count: int
) -> tuple[list[_PullRequest], dict[str, int]]:
    """The first `count` that can be replayed, and how many before them cannot, by reason."""
    fit, skipped = list[_PullRequest](), dict[str, int]()
    for one in pull_requests:
        reason = _unfit(one.size)
        if reason is None:
            fit.append(one)
        else:
            skipped[reason] = skipped.get(reason, 0) + 1
        if len(fit) == count:
            break
    return fit, skipped


def _pull_requests(git: Git, commit: str, most: int) -> Iterator[_PullRequest]:
    """The pull requests of the last `most` commits that are there from their first commit on."""
    _load_files(git, commit, most)
    commits = list(_commits(git, commit, most))
    groups = list(_groups(commits))
    if len(commits) == most or (commits and not commits[-1].merge.before and git.is_shallow):
        groups.pop()  # what comes before may belong to it
    for group in groups:
        own = [one for one in group if one.merge.before]  # the root has no commit before it
        if own:
            merge = replace(own[0].merge, before=own[-1].merge.before, commits=len(own))
            yield _PullRequest(merge, _total(one.size for one in own), own[0].is_named)


def _total(sizes: Iterable[_Size]) -> _Size:
    own = list(sizes)
    is_binary, is_own = any(o.is_binary for o in own), all(o.is_own for o in own)
    return _Size(sum(o.lines for o in own), is_binary, is_own)


def _groups(commits: Iterable[_Commit]) -> Iterator[list[_Commit]]:
    """The commits of each pull request, newest first."""
    group: list[_Commit] = []
    for one in commits:
        if group and not _continues(group, one):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _continues(group: Sequence[_Commit], older: _Commit) -> bool:
    """Whether the commit before those of `group` is of the same pull request."""
    newer = group[-1]
    if newer.is_merge or older.is_merge:
        return False
    number = next((n for one in group if (n := one.merge.pull_request) is not None), None)
    if number is not None and older.merge.pull_request is not None:
        return number == older.merge.pull_request
    together = abs(newer.committed - older.committed) <= _ONE_REBASE_S
    rewritten = newer.is_rewritten and older.is_rewritten
    return rewritten and together and newer.committer == older.committer


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
    if size.is_own:
        return "of experiments alone"
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
            f"{unnamed} of the cases are a commit each that was pushed as it is and names no pull "
            "request as `(#123)` at the end of its title: several such commits of one pull request "
            "are cases of their own"
        )
    if skipped:
        reasons = ", ".join(f"{number} {reason}" for reason, number in skipped.items())
        yield f"merges that are not replayed: {reasons}"
    if merges < count:
        yield f"{merges} of the {count} wanted merges can be replayed"


def _commits(git: Git, commit: str, most: int) -> Iterator[_Commit]:
    """Commits along the first-parent line, with the size of their diff (of the root: none)."""
    experiments = _experiments(git.run("ls-tree", "-r", "-z", "--name-only", commit).split(b"\0"))
    begin = f"commit {os.urandom(16).hex()} "  # which no title can hold
    output = git.run(
        *("log", "--first-parent", "-m", "--no-renames", "--numstat", f"-{most}"),
        *(f"--format={begin}{_FIELD.join(_FIELDS)}", commit, "--"),
        config=("log.showRoot=false",),
    )
    for record in output.decode(errors="replace").split(begin)[1:]:
        head, _, rows = record.partition("\n")
        oid, parents, committed, authored, committer, *title = head.split(_FIELD)
        before = parents.split(" ")
        merge, is_merge = Merge(oid, before[0], "".join(title)), len(before) > 1
        times = int(committed or 0), int(authored or 0)  # a broken commit has none
        yield _Commit(merge, _size(rows, experiments), is_merge, committer, *times)


def _experiments(paths: Iterable[bytes]) -> frozenset[str]:
    """The directories of experiments among these paths."""
    specs = (path for path in paths if path.endswith(b"/" + SPEC_NAME.encode()))
    return frozenset(path[: -len(SPEC_NAME)].decode(errors="replace") for path in specs)


def _size(rows: str, experiments: frozenset[str]) -> _Size:
    """The changed lines that `--numstat` counts: added, deleted, path; `-` for binary files.

    `experiments` are the directories of those that there are now.
    """
    columns = [row.split("\t", 2) for row in rows.splitlines() if row]
    paths = [column[2].strip('"') for column in columns if len(column) == 3]
    own = (*experiments, *_experiments(path.encode() for path in paths))
    is_own = bool(paths) and all(path.startswith(own) for path in paths)
    counts = [column[:2] for column in columns]
    is_binary = any("-" in count for count in counts)
    lines = sum(int(number) for count in counts for number in count if number.isdecimal())
    return _Size(lines, is_binary, is_own)
