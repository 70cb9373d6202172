"""YAML text as plain data with the line of every key, and what is wrong with the text.

Only mappings, lists, text, numbers, booleans and null come out. Tags, anchors and aliases
are refused, so nothing can be executed or blown up; what YAML 1.1 reads as a date, an octal
number or a boolean behind the writer's back is refused with the form to write instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from expci.core.model import limits

Path = tuple[str | int, ...]

_BREAKS = re.compile("\r|\x85|\u2028|\u2029")
_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?[0-9]{0,40}\.[0-9]{0,40}([eE][-+][0-9]{1,3})?")
# PyYAML's words for common slips, and what to do about them
_SYNTAX = (
    ("character '\\t'", "a tab where YAML requires spaces", "indent with spaces"),
    ("mapping values are not allowed", "a second colon in one value", "quote the whole value"),
    ("could not find expected ':'", "a line that is not `key: value`", "write `key: value`"),
    ("unexpected end of stream", "a quote or bracket is not closed", "close it"),
    ("expected <block end>", "the indentation does not fit", "align it with the keys above"),
    ("expected ',' or", "a bracket or a comma is missing", "close the bracket, or quote the value"),
    ("unknown escape", "an unknown escape after \\", "use single quotes, or write \\\\"),
    ("cannot start any token", "a value starts with a reserved character", "quote the value"),
)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file, and what to write instead.

    `line` counts from 1; `None` is the file as a whole. `path` is the key, as in
    `metrics[0].direction`. `str()` is safe to print: control characters are escaped.
    """

    file: str
    line: int | None
    path: str
    message: str
    fix: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        key = f"{self.path}: " if self.path else ""
        return printable(f"{place}: {key}{self.message} — {self.fix}")

    def to_json(self) -> dict[str, Any]:
        texts = {"path": self.path, "message": self.message, "fix": self.fix}
        escaped = {key: printable(text) for key, text in texts.items()}
        return {"file": printable(self.file), "line": self.line, **escaped}


@dataclass(frozen=True)
class Document:
    """What a file says. `lines` has a line for every key and list item, by path.

    `complete` is False when the text could not be read to its end: then nothing can be
    reported about what is missing. `broken` are the paths whose value had a problem already.
    """

    file: str
    data: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Path, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    broken: frozenset[Path] = frozenset()
    complete: bool = True

    def line(self, path: Path) -> int | None:
        """The line of `path`, or of the closest thing around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def printable(text: str) -> str:
    r"""Return `text` with control, direction and other invisible characters as escapes.

    >>> printable("a\x1bb")
    'a\\x1bb'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def dotted(path: Path) -> str:
    """Return `("metrics", 0, "direction")` as `metrics[0].direction`.

    >>> dotted(("metrics", 0, "direction"))
    'metrics[0].direction'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part[:80]}"
    return text.removeprefix(".")


def normal_text(text: str) -> str:
    r"""Return `text` without BOM and with `\\n` line ends, the last one included.

    >>> normal_text("a\r\nb")
    'a\nb\n'
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    return text if text.endswith("\n") else text + "\n"


def decode_spec(data: bytes, file: str) -> str | Problem:
    r"""Return the bytes of a text file as text, or why they cannot be.

    >>> decode_spec(b"version: 1\n", "experiment.yml")
    'version: 1\n'
    >>> print(decode_spec(b"version: 1\nname: \xff\n", "experiment.yml"))
    experiment.yml:2: is not UTF-8 text — save the file as UTF-8
    """
    if len(data) > limits.SPEC_BYTES:
        return Problem(file, None, "", "is larger than 1 MB", "keep data in other files")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Problem(file, line, "", "is not UTF-8 text", "save the file as UTF-8")


def read_document(text: str, file: str) -> Document:
    r"""Return the plain data of `text` and all problems with its form; never raises.

    >>> document = read_document("run: a.sh\nrun: b.sh\n", "experiment.yml")
    >>> print(document.problems[0])
    experiment.yml:2: run: stands twice (first on line 1) — keep one of the two
    """
    text = normal_text(text)
    if len(text.encode("utf-8", "surrogatepass")) > limits.SPEC_BYTES:
        problem = Problem(file, None, "", "is larger than 1 MB", "keep data in other files")
        return Document(file, problems=(problem,), complete=False)
    if match := _BREAKS.search(text):
        line = text.count("\n", 0, match.start()) + 1
        message = f"holds the line break {match[0]!a}"
        problem = Problem(file, line, "", message, "end lines with a plain newline")
        return Document(file, problems=(problem,), complete=False)
    return _Builder(file).read(text)


class _Stop(Exception):
    """Reading on makes no sense; the problem is noted."""


class _Builder:
    """Builds data from PyYAML's events, noting lines and problems on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Path, int] = {(): 1}
        self.problems: list[Problem] = []
        self.broken: set[Path] = set()
        self.events: Iterator[Any] = iter(())
        self.nodes = 0
        self.resolver = yaml.SafeLoader("")

    def read(self, text: str) -> Document:
        data: Any = {}
        complete = False
        try:
            self.events = iter(yaml.parse(text, Loader=yaml.SafeLoader))
            data = self.documents()
            complete = True
        except _Stop:
            pass
        except yaml.YAMLError as error:
            self.problems.append(self.syntax_problem(error, text))
        except (ValueError, OverflowError) as error:  # an escape beyond Unicode
            self.problems.append(Problem(self.file, None, "", str(error), "remove the escape"))
        return Document(
            self.file, data, self.lines, tuple(self.problems), frozenset(self.broken), complete
        )

    def problem(self, path: Path, line: int | None, message: str, fix: str) -> None:
        self.broken.add(path)
        self.problems.append(Problem(self.file, line, dotted(path), message, fix))

    def stop(self, line: int | None, message: str, fix: str) -> _Stop:
        self.problems.append(Problem(self.file, line, "", message, fix))
        return _Stop()

    def syntax_problem(self, error: yaml.YAMLError, text: str) -> Problem:
        reason = str(getattr(error, "problem", None) or getattr(error, "reason", "") or error)
        marks = (getattr(error, name, None) for name in ("problem_mark", "context_mark"))
        mark = next((mark for mark in marks if mark is not None), None)
        if "end of stream" in reason and getattr(error, "context_mark", None) is not None:
            mark = error.context_mark  # type: ignore[attr-defined]  # where the quote opened
        line = None if mark is None else mark.line + 1
        if isinstance(error, yaml.reader.ReaderError):
            line = text.count("\n", 0, error.position) + 1
            character = f"holds the character U+{int(error.character):04X}"
            return Problem(self.file, line, "", character, "remove it")
        for words, message, fix in _SYNTAX:
            if words in reason:
                return Problem(self.file, line, "", f"is not YAML: {message}", fix)
        return Problem(self.file, line, "", f"is not YAML: {reason}", "correct the syntax")

    def documents(self) -> Any:
        """The one document of the stream; a mapping."""
        data: Any = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent) and data is not None:
                raise self.stop(_line(event), "holds a second document", "keep one, without `---`")
            if isinstance(event, yaml.NodeEvent):
                data = self.node(event, ())
                if not isinstance(data, dict):
                    raise self.stop(_line(event), "is not a mapping", "write `key: value` lines")
        if data is None:
            raise self.stop(1, "is empty", "start with `version: 1`, or use `expci create`")
        return data

    def node(self, event: Any, path: Path) -> Any:
        self.nodes += 1
        if len(path) > limits.YAML_DEPTH or self.nodes > limits.YAML_NODES:
            raise self.stop(_line(event), "is nested too deeply or too long", "make it smaller")
        if isinstance(event, yaml.AliasEvent):
            self.problem(path, _line(event), f"uses the alias *{event.anchor}", "repeat the value")
            return ""
        if event.anchor is not None:
            self.problem(path, _line(event), f"has the anchor &{event.anchor}", "remove the anchor")
        if event.tag is not None:
            self.problem(path, _line(event), f"has the tag {event.tag}", "remove the tag")
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.scalar(event, path)

    def mapping(self, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self.key(event, path)
            value_path = (*path, key)
            is_second = key in data
            if is_second:
                first = self.lines[value_path]
                message = f"stands twice (first on line {first})"
                self.problem(value_path, _line(event), message, "keep one of the two")
            else:
                self.lines[value_path] = _line(event)
            value = self.node(next(self.events), value_path)
            if not is_second:
                data[key] = value
        return data

    def key(self, event: Any, path: Path) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self.stop(_line(event), "has a key that is not text", "write `key: value`")
        if event.anchor is not None or event.tag is not None:
            self.problem(path, _line(event), "has a key with an anchor or tag", "remove it")
        if event.style is None and self.kind(event.value) != "str":
            message = f"the key {event.value[:40]} is not read as text"
            self.problem((*path, event.value), _line(event), message, f'quote it: "{event.value}"')
        return str(event.value)

    def sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            item_path = (*path, len(items))
            self.lines[item_path] = _line(event)
            items.append(self.node(event, item_path))
        return items

    def kind(self, text: str) -> str:
        """What YAML 1.1 takes a plain scalar for: `str`, `int`, `bool`, `timestamp`, …"""
        resolve: Callable[..., str] = self.resolver.resolve
        tag = resolve(yaml.ScalarNode, text, (True, False))
        return tag.removeprefix(_TAG)

    def scalar(self, event: Any, path: Path) -> Any:
        text: str = event.value
        if any("\ud800" <= char <= "\udfff" for char in text):
            self.problem(path, _line(event), "holds half a character", "write the character itself")
        kind = self.kind(text) if event.style is None and event.tag is None else "str"
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "int" and _INTEGER.fullmatch(text):
            return int(text)
        if kind == "float" and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
        self.problem(path, _line(event), *_surprise(kind, text))
        return text


def _surprise(kind: str, text: str) -> tuple[str, str]:
    """(message, fix) for a plain scalar that YAML 1.1 takes for something unexpected."""
    excerpt = text[:40]
    if kind == "bool":
        return f"{excerpt} is a boolean in YAML", f'write true or false, or quote it: "{excerpt}"'
    if kind == "timestamp":
        return f"{excerpt} is a date in YAML", f'quote it: "{excerpt}"'
    if kind in ("int", "float") and re.search("(?i)inf|nan", excerpt):
        return f"{excerpt} is not a number that can be used", "write a finite number"
    if kind in ("int", "float"):
        return (
            f"{excerpt} is a number in a form that other tools read differently",
            f'write a plain decimal number, or quote it: "{excerpt}"',
        )
    return f"{excerpt} has a special meaning in YAML", f'quote it: "{excerpt}"'


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
