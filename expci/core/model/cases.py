"""Cases: what a lab experiment is run on, case by case. Standard library only.

`cases:` of a spec names where they come from (`CaseSource`); the plan freezes which there are
(`Case`: id and content hash). Each case is a unit of the experiment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from expci.core.model import limits
from expci.core.value_class import dataclass

UNIT: Final = "case"
_UNIT_PREFIX = "case-"
_LINES = ".jsonl"
_GLOB = frozenset("*?[")


class BadCases(ValueError):
    """Why cases cannot be taken, and what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(f"{message}; {fix}")
        self.message, self.fix = message, fix


@dataclass(frozen=True)
class Case:
    """One case by its id and the SHA-256 of its content."""

    id: str
    hash: str


@dataclass(frozen=True)
class CaseSource:
    """Where the cases come from: a pattern or a file of lines (`path`), or the last merges.

    `frozen` are the cases of a plan, by id; empty before the start.
    """

    path: str | None = None
    merged: int | None = None
    frozen: tuple[Case, ...] = ()

    @property
    def text(self) -> str:
        """As the file states it."""
        return f"{{merged: {self.merged}}}" if self.path is None else self.path

    @property
    def is_lines(self) -> bool:
        return self.path is not None and self.path.endswith(_LINES)

    @property
    def directory(self) -> str:
        """The directory that holds them, "" for the repository itself."""
        return (self.path or "").rpartition("/")[0]

    @property
    def pattern(self) -> str:
        """What the name of a case in the directory matches."""
        return (self.path or "").rpartition("/")[2]


def read_source(value: Any) -> CaseSource:
    """Read the value of `cases:`; `BadCases` for another one.

    >>> read_source("evals/*").directory, read_source({"merged": 50}).merged
    ('evals', 50)
    """
    if isinstance(value, dict):
        count = value.get("merged")
        if value.keys() != {"merged"} or isinstance(count, bool) or not isinstance(count, int):
            raise BadCases("has other keys than `merged: N`", "write {merged: 50}")
        if not 1 <= count <= limits.MERGED_CASES:
            fix = f"write {{merged: N}} with N from 1 to {limits.MERGED_CASES}"
            raise BadCases(f"replays {count} merges", fix)
        return CaseSource(merged=count)
    if not isinstance(value, str):
        raise BadCases("must be a path or {merged: N}", "write evals/*, evals/cases.jsonl")
    return _read_path(value.strip())


def _read_path(path: str) -> CaseSource:
    source = CaseSource(path=path)
    if _GLOB & set(source.directory):
        raise BadCases(f"{path!a} has a * before its last part", "write DIRECTORY/*")
    if not source.is_lines and not _GLOB & set(source.pattern):
        raise BadCases(f"{path!a} names one path", "write evals/*, or a file that ends in .jsonl")
    if source.is_lines and _GLOB & set(source.pattern):
        raise BadCases(f"{path!a} names several .jsonl files", "put the cases into one file")
    return source


def matches(source: CaseSource, name: str) -> bool:
    """Return whether an entry of the source's directory is a case; hidden ones are none.

    >>> source = read_source("evals/*.md")
    >>> [name for name in ("login.md", ".draft.md", "notes.txt") if matches(source, name)]
    ['login.md']
    """
    return fnmatchcase(name, source.pattern) and not name.startswith(".")


def unit_of(case: str) -> str:
    """Return the name of the unit that a case is.

    >>> unit_of("login"), case_of("case-login")
    ('case-login', 'login')
    """
    return _UNIT_PREFIX + case


def case_of(unit: str) -> str:
    """Return the id of the case that a unit is.

    >>> case_of("case-login")
    'login'
    """
    return unit.removeprefix(_UNIT_PREFIX)


def content_hash(rows: Iterable[tuple[str, str, str]]) -> str:
    """Return the SHA-256 over the sorted [path, mode, SHA-256 of the bytes] of a case's files.

    >>> a, b = ("prompt.md", "100644", "aa"), ("answer.md", "100644", "bb")
    >>> content_hash([a, b]) == content_hash([b, a])
    True
    >>> content_hash([a]) == content_hash([("prompt.md", "100755", "aa")])
    False
    """
    text = json.dumps(sorted(rows), separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def lines_by_id(data: bytes, file: str) -> dict[str, bytes]:
    r"""Return the lines of a JSONL file by their `id`; `BadCases` names the line that has none.

    >>> list(lines_by_id(b'{"id": "login"}\n\n{"id": 7}\n', "cases.jsonl"))
    ['login', '7']
    >>> lines_by_id(b'{"name": "login"}', "cases.jsonl")
    Traceback (most recent call last):
    expci.core.model.cases.BadCases: cases.jsonl:1 has no `id`; write {"id": "login", …}
    """
    lines: dict[str, bytes] = {}
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        id = _line_id(line, f"{file}:{number}")
        if id in lines:
            raise BadCases(f"{file}:{number}: the id {id!a} stands twice", "give it another id")
        lines[id] = line.strip()
    return lines


def _line_id(line: bytes, where: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise BadCases(f"{where} is not a line of JSON", "write one JSON object a line") from None
    id = value.get("id") if isinstance(value, dict) else None
    if isinstance(id, int) and not isinstance(id, bool):
        return str(id)
    if not isinstance(id, str):
        raise BadCases(f"{where} has no `id`", 'write {"id": "login", …}')
    return id


def require_ids(ids: Iterable[str]) -> None:
    """Raise `BadCases` for an id that no record can hold.

    >>> require_ids(["login"])
    >>> require_ids([""])
    Traceback (most recent call last):
    expci.core.model.cases.BadCases: '' is not a valid case name; use 1 to 200 printable characters
    """
    for id in ids:
        if not id or len(id) > limits.CASE_ID_CHARACTERS or not id.isprintable():
            fix = f"use 1 to {limits.CASE_ID_CHARACTERS} printable characters"
            raise BadCases(f"{id[:60]!a} is not a valid case name", fix)


def case_changes(
    old: Iterable[Case], new: Iterable[Case]
) -> tuple[list[str], list[str], list[str]]:
    """Return the ids that were added, removed and changed between two plans.

    >>> old = [Case("login", "h1"), Case("logout", "h2")]
    >>> case_changes(old, [Case("login", "h3"), Case("search", "h4")])
    (['search'], ['logout'], ['login'])
    """
    before: Mapping[str, str] = {case.id: case.hash for case in old}
    after: Mapping[str, str] = {case.id: case.hash for case in new}
    added = sorted(after.keys() - before.keys())
    removed = sorted(before.keys() - after.keys())
    changed = sorted(id for id in before.keys() & after.keys() if before[id] != after[id])
    return added, removed, changed
