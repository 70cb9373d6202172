"""Which paths of the repository a variant may touch, and which it does.

Standard library only: what is refused when a spec is read is refused again where a trial
puts files in place. Paths are relative to the repository, with `/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from expci.core.model.arm import Arm
from expci.core.model.content import FileTree, overlay_files

if TYPE_CHECKING:
    from expci.core.model.experiment import Experiment

_PATH_LIMIT = 1024  # bytes; git and every file system in use take this much
_NAME_LIMIT = 255
_DRIVE = re.compile(r"[A-Za-z]:")
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_LETTERS = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"a": b"\a",
    b"b": b"\b",
    b"v": b"\v",
    b"f": b"\f",
}
_NAMED = (b"rename from ", b"rename to ", b"copy from ", b"copy to ")

Refusal = tuple[str, str]  # what is wrong, what to do


def path_refusal(path: str) -> Refusal | None:
    """Return why a variant must not touch `path`, and what to do instead; `None` when it may.

    >>> path_refusal("src/a.py") is None, path_refusal("../a.py") is None
    (True, False)
    """
    return _malformed(path) or _reserved(path)


def _malformed(path: str) -> Refusal | None:
    if not path:
        return "is empty", "write a path relative to the repository"
    if path.startswith("/") or _DRIVE.match(path):
        return f"the path {path!a} is absolute", "write it relative to the repository"
    if "\\" in path:
        return f"the path {path!a} has a backslash", "separate directories with /"
    if any(not char.isprintable() for char in path):
        return f"the path {path!a} holds a control character", "rename the file"
    if {"", ".", ".."}.intersection(path.split("/")):
        return (
            f"the path {path!a} leaves the repository or is not plain",
            "write it without . and ..",
        )
    names = path.encode().split(b"/")
    if len(path.encode()) > _PATH_LIMIT or max(map(len, names)) > _NAME_LIMIT:
        return f"the path {path[:60]!a}… is too long", "rename the file"
    return None


def _reserved(path: str) -> Refusal | None:
    names = [_as_file_system(name) for name in path.split("/")]
    if {".git", "git~1"}.intersection(names):
        return f"the path {path!a} lies under .git", "vary files of the repository only"
    if names[:2] == [".github", "workflows"]:
        return (
            f"{path!a} is a workflow: an overlay cannot change one that is already running",
            "vary a local action or script, or use `if: steps.x.outputs.arm == …`",
        )
    return None


def _as_file_system(name: str) -> str:
    """A name as HFS+ and NTFS compare it (CVE-2014-9390): no ignorables, case, trailing dots."""
    import unicodedata

    visible = "".join(char for char in name if unicodedata.category(char) != "Cf")
    return case_folded(visible.split(":")[0].rstrip(" ."))


def case_folded(path: str) -> str:
    """Return what is equal for paths that differ only by case or Unicode form.

    >>> case_folded("README.md") == case_folded("ReadMe.MD")
    True
    """
    import unicodedata  # a library of its own, for what is seldom asked

    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def ancestors(path: str) -> Iterator[str]:
    """Return the directories above `path`, nearest last: `a`, `a/b` for `a/b/c`.

    >>> list(ancestors("a/b/c"))
    ['a', 'a/b']
    """
    parts = path.split("/")
    return ("/".join(parts[:length]) for length in range(1, len(parts)))


def look_alikes(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (path, earlier one) that a file system without case or Unicode form mixes up.

    >>> list(look_alikes(["src/a.py", "SRC/b.py"]))
    [('SRC', 'src')]
    """
    spellings: dict[str, str] = {}
    for path in paths:
        for part in (*ancestors(path), path):
            first = spellings.setdefault(case_folded(part), part)
            if first != part:
                yield part, first


def varied_paths(experiment: Experiment, tree: FileTree) -> dict[str, tuple[str, ...]]:
    """Return the repository paths that each arm changes; `tree` is the experiment's directory.

    >>> from expci.core.model.content import File
    >>> from support.report_samples import experiment
    >>> varied_paths(experiment(), {"treatment/src/a.py": File("100644", b"1")})
    {'control': (), 'treatment': ('src/a.py',)}
    """
    return {arm.name: arm_paths(arm, tree) for arm in experiment.arms}


def arm_paths(arm: Arm, tree: FileTree) -> tuple[str, ...]:
    r"""Return the repository paths that `arm` changes by files, deletions and patch, sorted.

    >>> from expci.core.model.content import File
    >>> patch = File("100644", b"--- a/src/b.py\n+++ b/src/b.py\n")
    >>> arm = Arm("treatment", patch="fast.patch", delete=("src/a.py",))
    >>> arm_paths(arm, {"fast.patch": patch})
    ('src/a.py', 'src/b.py')
    """
    patch = tree.get(arm.patch) if arm.patch else None
    patched = patch_paths(patch.data) if patch else ()
    return tuple(sorted({*arm.delete, *overlay_files(arm.files, tree), *patched}))


def patch_paths(patch: bytes) -> tuple[str, ...]:
    r"""Return the paths that `git apply` of `patch` would touch, both names of a rename, sorted.

    >>> patch_paths(b"diff --git a/old b/new\nrename from old\nrename to new\n")
    ('new', 'old')
    """
    paths: set[bytes] = set()
    for line in _headers(patch):
        if line.startswith(b"diff --git "):
            paths.update(_both_names(line[11:]))
        elif line.startswith((b"--- ", b"+++ ")):
            paths.add(_without_prefix(_unquoted(line[4:].split(b"\t")[0])))
        else:
            prefix = next((named for named in _NAMED if line.startswith(named)), None)
            if prefix:
                paths.add(_unquoted(line[len(prefix) :]))
    names = paths - {b"", b"/dev/null"}
    return tuple(sorted(name.decode(errors="surrogateescape") for name in names))


def patch_modes(patch: bytes) -> frozenset[str]:
    r"""Return the git file modes that `patch` names.

    >>> sorted(patch_modes(b"old mode 100644\nnew mode 100755\n"))
    ['100644', '100755']
    """
    modes = (
        re.fullmatch(rb"(?:(?:new|old|deleted)(?: file)? mode|index \S+) (\d{6})", line)
        for line in _headers(patch)
    )
    return frozenset(match[1].decode() for match in modes if match)


def _headers(patch: bytes) -> Iterator[bytes]:
    """The lines of a patch outside its hunks, where `--- x` is a header and not content."""
    old = new = 0
    for raw in patch.split(b"\n"):
        line = raw.removesuffix(b"\r")
        if old > 0 or new > 0:
            old -= line[:1] in (b" ", b"-", b"")
            new -= line[:1] in (b" ", b"+", b"")
        elif match := _HUNK.match(line):
            old, new = (int(size or 1) for size in match.groups())
        else:
            yield line


def _both_names(names: bytes) -> set[bytes]:
    """The names of `diff --git a/x b/x`, needed where no `---` follows (a mode, an empty file)."""
    if names.startswith(b'"'):
        quoted = re.findall(rb'"(?:[^"\\]|\\.)*"', names)
        return {_without_prefix(_unquoted(name)) for name in quoted}
    half = names[: len(names) // 2]
    is_same = _without_prefix(half) == _without_prefix(names[len(half) + 1 :])
    return {_without_prefix(half)} if is_same else set()


def _without_prefix(name: bytes) -> bytes:
    """`a/x/y` → `x/y`, as `git apply -p1` does."""
    return name if name == b"/dev/null" else name.partition(b"/")[2]


def _unquoted(name: bytes) -> bytes:
    """A name out of git's C-style quotes."""
    if not name.startswith(b'"'):
        return name
    return _ESCAPE.sub(_escaped, name[1:-1])


def _escaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) & 255]) if len(code) == 3 else _LETTERS.get(code, code)
