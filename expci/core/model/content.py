"""What a plan consists of: the files of an experiment, and the hash that names it.

Standard library only. A `FileTree` is what git would hold: paths with `/`, each with
its mode and blob. The plan's id is a hash of *content* so that two clones, object
formats and line-ending settings agree on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from expci.core.model.arm import Arm
from expci.core.value_class import dataclass

if TYPE_CHECKING:
    from expci.core.model.cases import Case

SPEC_NAME = "experiment.yml"


@dataclass(frozen=True)
class File:
    """One file of a tree: its git mode and its bytes."""

    mode: str
    data: bytes


FileTree = Mapping[str, File]


@dataclass(frozen=True)
class Blob:
    """One path as git names it: mode and object id."""

    mode: str
    oid: str


Paths = Mapping[str, Blob | None]  # varied paths; `None` is a path that does not exist


def variant_files(arms: tuple[Arm, ...], tree: FileTree) -> dict[str, File]:
    """Return the files of the experiment's directory that belong to its plan, by relative path.

    They are `experiment.yml` and whatever an arm names; notes and results beside them are not.

    >>> arms = Arm("control"), Arm("treatment", files="treatment/")
    >>> tree = {"experiment.yml": File("100644", b""), "notes.md": File("100644", b"")}
    >>> list(variant_files(arms, tree))
    ['experiment.yml']
    """
    return {path: tree[path] for path in variant_paths(arms, tree)}


def variant_paths(arms: tuple[Arm, ...], paths: Iterable[str]) -> list[str]:
    """Return those of the relative `paths` that belong to the plan.

    >>> arms = Arm("control"), Arm("treatment", files="treatment/", patch="fast.patch")
    >>> variant_paths(arms, ["treatment/a.py", "treatment2/a.py", "fast.patch", "notes.md"])
    ['treatment/a.py', 'fast.patch']
    """
    roots = {
        root.rstrip("/") for arm in arms for root in (arm.files, arm.patch, arm.promote) if root
    }
    return [
        path
        for path in paths
        if path == SPEC_NAME or any(path == root or path.startswith(root + "/") for root in roots)
    ]


def plan_id(files: FileTree, cases: Iterable[Case] = ()) -> str:
    r"""Return the SHA-256 over the sorted [path, mode, SHA-256 of the bytes], as compact JSON.

    The cases follow as [id, "case", hash], sorted by id.

    >>> spec = {"experiment.yml": File("100644", b"version: 1\n")}
    >>> plan_id(spec)[:12]
    'd4c5c3a47ad5'
    >>> from expci.core.model.cases import Case
    >>> plan_id(spec) == plan_id(spec, [Case("login", "aa")])
    False
    """
    rows = [
        [path, file.mode, hashlib.sha256(file.data).hexdigest()]
        for path, file in sorted(files.items())
    ]
    rows += sorted([case.id, "case", case.hash] for case in cases)
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def overlay(arm: Arm, tree: FileTree) -> dict[str, File | None]:
    """Return what an arm's `files` and `delete` put at repository paths; `None` deletes.

    A patch needs git to be applied and is not part of this.

    >>> arm = Arm("treatment", files="treatment/", delete=("old.py",))
    >>> overlay(arm, {"treatment/a.py": File("100644", b"1")})
    {'old.py': None, 'a.py': File(mode='100644', data=b'1')}
    """
    changes: dict[str, File | None] = dict.fromkeys(arm.delete)
    return changes | overlay_files(arm.files, tree)


def overlay_files(root: str | None, tree: FileTree) -> dict[str, File | None]:
    """Return what `root` puts at repository paths: `root/a/b` stands for `a/b`.

    >>> tree = {"treatment/src/a.py": File("100644", b"1"), "notes.md": File("100644", b"")}
    >>> list(overlay_files("treatment/", tree))
    ['src/a.py']
    """
    if root is None:
        return {}
    prefix = root.rstrip("/") + "/"
    return {path[len(prefix) :]: file for path, file in tree.items() if path.startswith(prefix)}
