"""Experiments as they lie in the working directory: listed, and read without following links."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from expci.core.model import limits
from expci.core.model.content import SPEC_NAME, File, FileTree
from expci.core.model.experiment import DEFAULTS_FILE
from expci.core.spec.repository_defaults import Defaults, read_defaults
from expci.core.spec.yaml_document import Problem, decode_spec, read_document
from expci.errors import ExpciError

_NO_FILE = "000000"  # a device, pipe or socket; git has no mode for it


class Unreadable(ExpciError):
    """Files that are not read. `problem` is the same with its line, where there is one."""

    def __init__(self, message: str, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.problem = problem


def repository_defaults(root: Path) -> Defaults:
    """The repository's defaults; their problems are in them."""
    path = root / DEFAULTS_FILE
    if not os.path.lexists(path):
        return Defaults()
    text = read_text(path, DEFAULTS_FILE)
    return Defaults(problems=(text,)) if isinstance(text, Problem) else read_defaults(text)


def experiments_on_disk(root: Path, defaults: Defaults) -> dict[str, list[str]]:
    """Directories by experiment id, relative to `root`; an id must have one."""
    directories: dict[str, list[str]] = {}
    for place in defaults.roots:
        base = root / place
        for entry in sorted(base.iterdir()) if base.is_dir() else ():
            if os.path.lexists(entry / SPEC_NAME):
                directories.setdefault(entry.name, []).append(f"{place}/{entry.name}")
    return directories


def load_from_disk(root: Path, id: str) -> FileTree:
    """The files of an experiment that belong to its plan; `ExpciError` where that cannot be."""
    places = experiments_on_disk(root, repository_defaults(root)).get(id)
    if not places:
        raise ExpciError(f"there is no experiment {id!a} here; `expci create {id}` makes one")
    return load_directory(root, places[0])


def load_directory(root: Path, directory: str) -> FileTree:
    """`experiment.yml` and what its arms name, by path relative to `directory`.

    Links come as mode 120000 with their target, nested repositories as 160000, so that the
    reader of the spec can refuse them. `ExpciError` for what is too large or unreadable.
    """
    top = root / directory
    refuse_links(root, directory)
    text = read_text(top / SPEC_NAME, f"{directory}/{SPEC_NAME}")
    if isinstance(text, Problem):
        raise Unreadable(str(text), text)
    mode = _mode(os.lstat(top / SPEC_NAME))
    tree = {SPEC_NAME: File(mode, text.encode())}
    size = 0
    for path in sorted(set(_named(text))):
        for relative, info in _walk(top, path):
            size += info.st_size
            if size > limits.VARIANT_BYTES:
                raise Unreadable(f"{directory}: the variants hold more than 25 MB; vary less")
            tree[relative] = _file(top / relative, info)
    return tree


def refuse_links(root: Path, directory: str) -> None:
    """`ExpciError` where `directory` leads through a link, and so perhaps out of `root`."""
    path = root
    for part in directory.split("/"):
        path /= part
        if path.is_symlink():
            raise Unreadable(f"{directory}: {part!a} is a symlink; put the directory itself there")


def read_text(path: Path, file: str) -> str | Problem:
    """The text of a regular file of at most 1 MB; `file` is its name in problems."""
    try:
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            return Problem(file, None, "", "is a symlink", "put the file itself there")
        if not stat.S_ISREG(info.st_mode):
            return Problem(file, None, "", "is not a plain file", "put a text file there")
        if info.st_size > limits.SPEC_BYTES:
            return Problem(file, None, "", "is larger than 1 MB", "keep data in other files")
        return decode_spec(path.read_bytes(), file)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        return Problem(file, None, "", message, "check that it is there and yours to read")


def _named(text: str) -> Iterator[str]:
    """The relative paths that the arms name, as far as the text can be read."""
    arms = read_document(text, SPEC_NAME).data.get("arms")
    for arm in arms.values() if isinstance(arms, dict) else ():
        for key in ("files", "patch", "promote"):
            value = arm.get(key) if isinstance(arm, dict) else None
            parts = value.strip().rstrip("/").split("/") if isinstance(value, str) else []
            if parts and not {"", ".", ".."}.intersection(parts) and "\0" not in str(value):
                yield "/".join(parts)


def _walk(top: Path, path: str) -> Iterator[tuple[str, os.stat_result]]:
    """(path relative to `top`, its lstat) of `path` or of the files below it."""
    for length in range(1, path.count("/") + 2):
        part = "/".join(path.split("/")[:length])
        if not os.path.lexists(top / part):
            return
        info = os.lstat(top / part)
        if not stat.S_ISDIR(info.st_mode) or os.path.lexists(top / part / ".git"):
            yield part, info
            return
    for entry in sorted((top / path).iterdir()):
        yield from _walk(top, f"{path}/{entry.name}")


def _mode(info: os.stat_result) -> str:
    if stat.S_ISLNK(info.st_mode):
        return "120000"
    if stat.S_ISDIR(info.st_mode):
        return "160000"
    if not stat.S_ISREG(info.st_mode):
        return _NO_FILE
    return "100755" if info.st_mode & stat.S_IXUSR else "100644"


def _file(path: Path, info: os.stat_result) -> File:
    mode = _mode(info)
    try:
        if mode == "120000":
            return File(mode, os.fsencode(path.readlink()))
        return File(mode, path.read_bytes() if mode.startswith("100") else b"")
    except OSError as error:
        raise Unreadable(f"cannot read {str(path)!a}: {error.strerror}") from error


def read_variant(root: Path, path: str) -> dict[str, File]:
    """The file at `path`, or the files below it, by path relative to `root`; links are refused."""
    files = {}
    for relative, info in _walk(root, path):
        file = _file(root / relative, info)
        if not file.mode.startswith("100"):
            raise ExpciError(f"{relative!a} is not a plain file; vary plain files only")
        files[relative] = file
    return files
