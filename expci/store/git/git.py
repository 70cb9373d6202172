"""The one door to git: the only place that calls the `git` program.

Plumbing commands with `-z` only, a cleaned environment, and never the user's index,
hooks, stash, branches or configuration. Standard library only (the trial path).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property, partial
from pathlib import Path
from typing import NamedTuple

from expci.core.lazy_pattern import lazy_pattern
from expci.core.model.content import Blob, File
from expci.core.model.trial import parse_timestamp
from expci.core.value_class import replace
from expci.errors import ExpciError, GitError
from expci.store.git import lazy_objects
from expci.store.git.invocation import (
    git_command,
    git_environment,
    output_line,
    output_text,
    start_reader,
    verb_of,
)
from expci.store.git.lazy_objects import LazyObjects
from expci.store.git.object_bytes import (
    TREE_MODE,
    commit_bytes,
    object_id,
    pack,
    tree_bytes,
    tree_in_commit,
    tree_rows,
)
from expci.store.git.object_reader import ObjectReader, StoredObject
from expci.store.git.refusal import visible_text, write_failure
from expci.store.git.scratch import Scratch
from expci.store.git.time_limit import TimeLimits, process_group, run_limited

MINIMUM_VERSION = (2, 38)  # `merge-tree --write-tree`

AUTHOR = ("expci", "expci@users.noreply.github.com")
_OBJECT_ID = lazy_pattern(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SMALL_TREE = 64  # files
NOT_IN_A_TREE = frozenset(("", ".", "..", ".git"))

# What to do where a shallow clone ends too early.
DEEPEN = "fetch the history (actions/checkout: `fetch-depth: 0`; elsewhere: git fetch --unshallow)"


class Addresses(NamedTuple):
    """Where a remote is read and where it is written; git pushes to each of `push`."""

    fetch: str
    push: tuple[str, ...]


class Git:
    """git in one repository. `root` is the top of the work tree, or a bare repository."""

    def __init__(self, root: Path, surroundings: Mapping[str, str] | None = None) -> None:
        self.root = root
        self._surroundings = surroundings or {}  # variables that every call gets
        self._small_trees: dict[str, dict[str, Blob]] = {}
        self._large_tree: dict[str, dict[str, Blob]] = {}
        self._lineage: dict[tuple[str, str], bool] = {}
        self._changes: dict[tuple[str, str], list[str]] = {}  # paths, by two trees or commits
        self._merges: dict[tuple[str, str], tuple[str, list[str]]] = {}
        self._promisor: Mapping[str, str] = {}
        self._unwritten: dict[str, tuple[str, bytes]] = {}  # objects by id: kind and bytes
        self._present: set[str] = set()  # the ids of objects that were read or written here

    @classmethod
    def at(cls, directory: Path) -> Git:
        """The repository that holds `directory`."""
        if not directory.is_dir():
            raise ExpciError(f"no such directory: {directory}")
        probe = cls(directory)
        where = ("--show-toplevel", "--absolute-git-dir", "--git-common-dir")
        options = ("--path-format=absolute", *where, "--show-object-format")
        try:
            result = probe.attempt("rev-parse", *options)
        except OSError as error:
            if _program() is None:
                raise ExpciError("there is no git on PATH; install git 2.38 or newer") from error
            raise
        if result.returncode == 0 and result.stdout.count(b"\n") == len(options) - 1:
            top, own, common, form = output_line(result.stdout).split("\n")
            git = cls(Path(top))
            git.git_dir, git.common_dir, git.object_format = Path(own), Path(common), form
            return git
        # A path may hold a newline, a bare repository has no top, and git before 2.31 knows
        # no --path-format.
        for option in ("--show-toplevel", "--absolute-git-dir"):
            result = probe.attempt("rev-parse", option)
            if result.returncode == 0:
                return cls(Path(output_line(result.stdout)))
        stderr = visible_text(result.stderr)
        if "not a git repository" not in stderr:  # dubious ownership, a damaged configuration, …
            raise ExpciError(stderr)
        raise ExpciError(
            f"{directory} is not inside a git repository; run expci in one, name one with -C DIR, "
            "or make one with `git init`"
        )

    # --- running git -----------------------------------------------------------------

    def attempt(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        config: Iterable[str] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git and answer with whatever it did."""
        self._write_objects()
        # Any call may need an object that a partial clone lacks.
        surroundings = git_environment({**self._surroundings, **self.promisor, **(env or {})})
        if self._lazy is not None:
            command = git_command(arguments, (*self._lazy.config, *config))
            return self._lazy.run(command, cwd or self.root, surroundings, stdin or b"")
        return subprocess.run(
            git_command(arguments, config),
            cwd=cwd or self.root,
            input=stdin or b"",
            env=surroundings,
            capture_output=True,
            check=False,
        )

    def attempt_remote(
        self,
        *arguments: str,
        env: Mapping[str, str],
        config: Iterable[str] = (),
        patient: bool = False,
        seconds: float | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git where it talks to a server; `TimedOut` once that has gone silent.

        With `patient` only the limit of the whole call holds, which `seconds` makes shorter.
        """
        self._write_objects()
        limits = TimeLimits.of(os.environ)
        if seconds is not None:
            limits = replace(limits, whole=min(seconds, limits.whole))
        if patient:
            limits = TimeLimits(limits.whole, limits.whole, limits.whole)
        slow = ("http.lowSpeedLimit=1", f"http.lowSpeedTime={max(1, round(limits.silence))}")
        return run_limited(
            git_command(arguments, (*slow, *config)),
            limits,
            cwd=self.root,
            env=git_environment({**self._surroundings, **env}),
        )

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        config: Iterable[str] = (),
    ) -> bytes:
        """git's standard output; `GitError` with git's own words when it fails."""
        result = self.attempt(*arguments, stdin=stdin, env=env, cwd=cwd, config=config)
        if result.returncode != 0:
            stderr = visible_text(result.stderr)
            why = (
                write_failure(stderr)
                or f"git {verb_of(arguments)} failed: {stderr or result.returncode}"
            )
            raise GitError(why, stderr)
        return result.stdout

    def text(self, *arguments: str) -> str:
        return output_text(self.run(*arguments))

    # --- where things are ------------------------------------------------------------

    @cached_property
    def common_dir(self) -> Path:
        """The `.git` directory that all worktrees share."""
        path = Path(output_line(self.run("rev-parse", "--git-common-dir")))
        return path if path.is_absolute() else (self.root / path).resolve()

    @cached_property
    def git_dir(self) -> Path:
        """The git directory of this work tree alone (its index and HEAD)."""
        return Path(output_line(self.run("rev-parse", "--absolute-git-dir")))

    @cached_property
    def object_format(self) -> str:
        """`sha1` or `sha256`."""
        return self.text("rev-parse", "--show-object-format")

    @property
    def is_shallow(self) -> bool:
        """Whether the clone's history ends before the repository's does."""
        return (self.common_dir / "shallow").is_file()

    @property
    def private_dir(self) -> Path:
        """Where expci keeps its own files of this clone: spool, pilot data, counters."""
        return self.common_dir / "expci"

    @property
    def version(self) -> tuple[int, ...]:
        return _version(_program())

    def require_version(self) -> None:
        if self.version < MINIMUM_VERSION:
            version = ".".join(map(str, self.version))
            raise ExpciError(f"git {version} is too old; expci needs git 2.38 or newer")

    def remotes(self) -> list[str]:
        return list(self.addresses())

    def addresses(self) -> dict[str, Addresses]:
        """The remotes by name, with the addresses that git itself would use."""
        rows: dict[str, Addresses] = {}
        for line in output_text(self.run("remote", "-v")).splitlines():
            match = re.fullmatch(r"(.*?)\t(.*) \((fetch|push)\)(?: \[.*\])?", line)
            if match:
                name, address, use = match.groups()
                old = rows.get(name, Addresses("", ()))
                rows[name] = (
                    Addresses(address, old.push)
                    if use == "fetch"
                    else Addresses(old.fetch, (*old.push, address))
                )
        return rows

    def config(self, key: str) -> str | None:
        """A setting; `None` where it is not set. All are read once."""
        section, _, rest = key.partition(".")
        part, dot, name = rest.rpartition(".")
        return self._settings.get(f"{section.lower()}.{part}{dot}{name.lower()}")

    @cached_property
    def _settings(self) -> dict[str, str]:
        """By name as git prints it; of a setting with several values the last."""
        output = output_text(self.attempt("config", "--list", "-z").stdout)
        rows = (row.partition("\n") for row in output.split("\0"))
        return {name: value.strip() for name, _, value in rows}

    # --- reading ---------------------------------------------------------------------

    def resolve(self, revision: str) -> str | None:
        """The commit id of a revision, or `None`."""
        [commit] = self._info([f"{revision}^{{commit}}"])
        return commit.oid if commit else None

    def require(self, revision: str) -> str:
        commit = self.resolve(revision)
        if commit is None and revision == "HEAD":
            raise ExpciError("this repository has no commit yet: commit something first")
        if commit is None:
            raise ExpciError(f"no such commit here: {revision}")
        return commit

    def branch(self) -> str | None:
        """The branch that is checked out; `None` on a detached HEAD."""
        result = self.attempt("symbolic-ref", "--quiet", "--short", "HEAD")
        return output_text(result.stdout) if result.returncode == 0 else None

    def refs(self, *patterns: str) -> dict[str, str]:
        """Local refs matching the patterns (prefixes or globs): name → object id."""
        output = self.run("for-each-ref", "--format=%(objectname) %(refname)", *patterns)
        rows = (line.split(" ", 1) for line in output_text(output).split("\n") if line)
        return {name: oid for oid, name in rows}

    def tree_of(self, revision: str) -> str:
        kind, data = self._unwritten.get(revision, ("", b""))
        if kind == "tree":
            return revision
        if kind == "commit":
            return tree_in_commit(data)
        [tree] = self._info([f"{revision}^{{tree}}"])
        if tree is None:
            raise GitError(f"no such tree here: {revision}")
        return tree.oid

    def parents(self, commit: str) -> list[str]:
        return self.text("rev-list", "--parents", "-n", "1", commit).split()[1:]

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether one commit is in the history of another; remembered, for that never changes."""
        pair = ancestor, descendant
        if ancestor == descendant or pair in self._lineage:
            return self._lineage.get(pair, True)
        code = self.attempt("merge-base", "--is-ancestor", *pair).returncode
        if code in (0, 1) and _are_ids(*pair):
            self._lineage[pair] = code == 0
        return code == 0

    def changed_paths(self, old: str, new: str) -> list[str]:
        """Paths whose blob or mode differs between two commits or trees; remembered, too.

        A rename is a deletion and an addition.
        """
        pair = old, new
        if pair in self._changes:
            return list(self._changes[pair])
        output = self.run("diff-tree", "-r", "-z", "--no-renames", "--name-only", *pair)
        paths = [path for path in output.decode(errors="surrogateescape").split("\0") if path]
        if _are_ids(*pair):
            self._changes[pair] = paths
        return list(paths)

    def read_tree(self, revision: str, prefix: str = "") -> dict[str, Blob]:
        """Files below `prefix` (a directory) at `revision`, by path relative to it.

        Small trees of a commit named by its id are remembered, and the last large one: they
        never change.
        """
        treeish = f"{revision}:{prefix}"
        for remembered in (self._small_trees, self._large_tree):
            if treeish in remembered:
                return dict(remembered[treeish])
        tree = self._directory(self.tree_of(revision), prefix)
        files = self._files(tree) if tree else {}
        if not _OBJECT_ID.fullmatch(revision):
            return files
        if len(files) <= _SMALL_TREE:
            self._small_trees[treeish] = files
        else:
            self._large_tree = {treeish: files}
        return dict(files)

    def read_paths(self, revision: str, paths: Iterable[str]) -> dict[str, Blob | None]:
        """Each path's blob at `revision`; `None` where there is none (or a directory)."""
        wanted = list(paths)
        root = self.tree_of(revision) if wanted else ""
        rows: dict[str, Mapping[str, Blob]] = {}  # by directory
        blobs: dict[str, Blob | None] = {}
        for path in wanted:
            directory, _, name = path.rpartition("/")
            if directory not in rows:
                tree = self._directory(root, directory)
                rows[directory] = self._rows([tree])[0] if tree else {}
            blob = rows[directory].get(name)
            blobs[path] = None if blob is None or blob.mode == TREE_MODE else blob
        return blobs

    def cat(self, oids: Iterable[str]) -> dict[str, bytes]:
        """The bytes of objects. `GitError` names one that is missing."""
        wanted = list(dict.fromkeys(oids))
        data = {oid: self._unwritten[oid][1] for oid in wanted if oid in self._unwritten}
        written = [oid for oid in wanted if oid not in data]
        items = self._answered(self._reader.contents, written)
        for oid, item in zip(written, items, strict=True):
            if item is None:
                raise GitError(f"object {oid} is missing from this clone")
            data[oid] = item.data
        self._present.update(written)
        return data

    def sizes(self, oids: Iterable[str]) -> dict[str, tuple[str, int] | None]:
        """(type, bytes) of each object without reading it; `None` when it is missing."""
        wanted = list(dict.fromkeys(oids))
        items = zip(wanted, self._info(wanted), strict=True)
        return {oid: (item.kind, item.size) if item else None for oid, item in items}

    def read_files(self, revision: str, prefix: str = "") -> dict[str, File]:
        """Files below `prefix` with their bytes; links and submodules with no bytes."""
        blobs = self.read_tree(revision, prefix)
        regular = {path: blob for path, blob in blobs.items() if blob.mode.startswith("100")}
        data = self.cat(blob.oid for blob in regular.values())
        return {
            path: File(blob.mode, data[blob.oid] if path in regular else b"")
            for path, blob in blobs.items()
        }

    # --- writing objects -------------------------------------------------------------

    def write_blobs(self, contents: Iterable[bytes]) -> list[str]:
        """The object ids of new blobs, in order."""
        return [self._write("blob", data) for data in contents]

    def write_tree(self, base: str | None, changes: Mapping[str, Blob | None]) -> str:
        """A tree: that of `base` (a tree or commit) with `changes` (`None` removes the path)."""
        root = None if base is None else self.tree_of(base)
        parted = {tuple(path.split("/")): blob for path, blob in changes.items()}
        if bad := next((path for path in parted if not NOT_IN_A_TREE.isdisjoint(path)), None):
            raise GitError(f"git knows no path {'/'.join(bad)!r}")
        return self._changed(root, parted) or self._write("tree", b"")

    def _changed(
        self, tree: str | None, changes: Mapping[tuple[str, ...], Blob | None]
    ) -> str | None:
        """The tree after the changes below it; `None` when nothing is left of it."""
        rows = self._rows([tree])[0] if tree else {}
        below: dict[str, dict[tuple[str, ...], Blob | None]] = {}
        for (name, *rest), blob in changes.items():
            if rest:
                below.setdefault(name, {})[tuple(rest)] = blob
            elif blob is not None:
                rows[name] = blob
            elif name in rows and rows[name].mode != TREE_MODE:
                del rows[name]
        for name, inner in below.items():
            former = rows[name].oid if name in rows and rows[name].mode == TREE_MODE else None
            after = self._changed(former, inner)
            if after is not None:  # a directory may come where a file was
                rows[name] = Blob(TREE_MODE, after)
            elif former is not None:
                del rows[name]
        return self._write("tree", tree_bytes(rows)) if rows else None

    @contextmanager
    def scratch_index(self, tree: str | None) -> Iterator[dict[str, str]]:
        """Environment with an index that holds `tree`, apart from the user's."""
        import tempfile

        with tempfile.TemporaryDirectory(prefix="expci-index-", dir=self._scratch()) as directory:
            env = {"GIT_INDEX_FILE": str(Path(directory) / "index")}
            self.run(
                *(("read-tree", tree) if tree else ("read-tree", "--empty")),
                env=env,
                config=("core.sparseCheckout=false",),
            )
            yield env

    def _scratch(self) -> Path | None:
        """Where the next verb clears what a killed one left; `None`: the system's own place."""
        try:
            return Scratch.of(self.private_dir).directory
        except OSError:
            return None  # a clone that can only be read

    def commit_tree(
        self, tree: str, parents: Sequence[str], message: str, *, at: str = "1970-01-01T00:00:00Z"
    ) -> str:
        """A commit object by expci at the given time; the same inputs give the same id."""
        when = parse_timestamp(at)
        return self._write("commit", commit_bytes(tree, parents, AUTHOR, when, message))

    def merge_trees(self, ours: str, theirs: str) -> tuple[str, list[str]]:
        """Three-way merge of two commits: (tree, paths in conflict). Touches no work tree.

        Remembered, for commits that are named by their ids merge always alike.
        """
        if (ours, theirs) in self._merges:
            return self._merges[ours, theirs]
        result = self.attempt(
            "merge-tree", "--write-tree", "--no-messages", "--name-only", "-z", ours, theirs
        )
        if result.returncode not in (0, 1):
            stderr = visible_text(result.stderr)
            raise GitError(f"git merge-tree failed: {stderr}", stderr)
        tree, *conflicts = output_text(result.stdout).rstrip("\0").split("\0")
        merged = tree.strip(), [path for path in conflicts if path]
        if _are_ids(ours, theirs):
            self._merges[ours, theirs] = merged
        return merged

    def update_refs(self, lines: Iterable[str]) -> None:
        """One transaction of `git update-ref --stdin` lines on local refs."""
        data = "".join(line + "\n" for line in lines)
        if data:
            self.run("update-ref", "--stdin", stdin=data.encode(errors="surrogateescape"))

    # --- objects ---------------------------------------------------------------------

    @property
    def promisor(self) -> Mapping[str, str]:
        """What git needs to load an object that a partial clone left on the server."""
        return (
            self._promisor if self._lazy is None else {**self._promisor, **self._lazy.environment}
        )

    @promisor.setter
    def promisor(self, environment: Mapping[str, str]) -> None:
        if environment != self._promisor:
            self._promisor = environment
            self.__dict__.pop("_reader", None)  # and its process ends

    @cached_property
    def _lazy(self) -> LazyObjects | None:
        # Without `Git.at` it is a repository of expci's own, and whole.
        return lazy_objects.of_clone(self.common_dir) if "common_dir" in self.__dict__ else None

    def load_no_more(self, problem: str) -> None:
        """The remote is silent, so what a partial clone lacks is not waited for either."""
        if self._lazy is not None:
            self._lazy.stop(problem)
            self._reader.close()

    @cached_property
    def _reader(self) -> ObjectReader:
        own = {**self._surroundings, **self._promisor}
        return ObjectReader(partial(_reading, self.root, own, self._lazy), self._lazy)

    def _info(self, names: Sequence[str]) -> list[StoredObject | None]:
        if any(name.partition("^")[0] in self._unwritten for name in names):
            self._write_objects()
        return self._answered(self._reader.info, names)

    def _answered(
        self, ask: Callable[[Sequence[str]], list[StoredObject | None]], names: Sequence[str]
    ) -> list[StoredObject | None]:
        try:
            return ask(names)
        except GitError:
            self.require_version()  # an old git lacks what the reader runs
            raise

    def _rows(self, trees: Sequence[str]) -> list[dict[str, Blob]]:
        """The entries of each tree, directories among them."""
        data = self.cat(trees)
        return [tree_rows(data[tree], len(tree)) for tree in trees]

    def _directory(self, tree: str, path: str) -> str | None:
        """The tree at a path below another; `None` where there is no directory."""
        for name in path.split("/") if path else ():
            row = self._rows([tree])[0].get(name)
            if row is None or row.mode != TREE_MODE:
                return None
            tree = row.oid
        return tree

    def _files(self, tree: str) -> dict[str, Blob]:
        """All files below a tree by path, in git's order; the directories of a level at once."""
        rows: dict[str, dict[str, Blob]] = {}
        level = [tree]
        while level:
            rows |= dict(zip(level, self._rows(level), strict=True))
            blobs = (blob for oid in level for blob in rows[oid].values())
            trees = dict.fromkeys(blob.oid for blob in blobs if blob.mode == TREE_MODE)
            level = [oid for oid in trees if oid not in rows]
        return dict(_below(rows, tree, ""))

    def _write(self, kind: str, data: bytes) -> str:
        """The id of an object, which is written before the next call of git where it is new."""
        oid = object_id(self.object_format, kind, data)
        if oid not in self._present:
            self._unwritten[oid] = kind, data
        return oid

    def _write_objects(self) -> None:
        """Write what is new, by one process."""
        if not self._unwritten:
            return
        objects, self._unwritten = self._unwritten, {}
        try:
            data = pack(self.object_format, list(objects.values()))
            self.run("unpack-objects", "-q", stdin=data)
        except BaseException:
            self._unwritten = objects | self._unwritten
            raise
        self._present.update(objects)


def _are_ids(*names: str) -> bool:
    return all(map(_OBJECT_ID.fullmatch, names))


def _program() -> str | None:
    import shutil

    return shutil.which("git")


def _reading(
    root: Path, own: Mapping[str, str], lazy: LazyObjects | None
) -> subprocess.Popen[bytes]:
    if lazy is None:
        return start_reader(root, own)
    return start_reader(root, {**own, **lazy.environment}, lazy.config, process_group())


@cache
def _version(program: str | None) -> tuple[int, ...]:
    """Read once from each program that a process meets."""
    output = subprocess.run([program or "git", "version"], capture_output=True, check=True).stdout
    return tuple(int(part) for part in output.split()[2].split(b".")[:2] if part.isdigit())


def _below(
    rows: Mapping[str, Mapping[str, Blob]], tree: str, prefix: str
) -> Iterator[tuple[str, Blob]]:
    for name, blob in rows[tree].items():
        if blob.mode == TREE_MODE:
            yield from _below(rows, blob.oid, f"{prefix}{name}/")
        else:
            yield prefix + name, blob
