"""A strict subset of YAML, read with the standard library alone.

It knows block and flow mappings and sequences, plain and quoted scalars on one line, `|`
and `>` texts, comments. Whatever else it meets (anchors, tags, merge keys, text that YAML
1.1 and 1.2 read differently) it refuses by `NotPlain`. Only the bodies of the wanted keys are
read; a top-level key starts at column 0.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, NoReturn

from expci.core.lazy_pattern import lazy_pattern
from expci.core.model import limits
from expci.errors import ExpciError

_TOP_KEY = lazy_pattern(r"([A-Za-z_][A-Za-z0-9_-]*):(?= |$)")
_KEY = lazy_pattern(r"""([A-Za-z0-9_][A-Za-z0-9_.-]*|"[^"\\]*"|'[^']*'):(?= |$)""")
_HEADER = lazy_pattern(r"([|>])([+-]?)(?: +#.*| *)$")
_REFUSED = lazy_pattern("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_NULL = frozenset(("~", "null", "Null", "NULL", ""))
_BOOLEAN = frozenset(("true", "True", "TRUE", "false", "False", "FALSE"))
_INTEGER = lazy_pattern(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = lazy_pattern(r"[-+]?[0-9]{1,40}\.[0-9]{0,40}([eE][-+][0-9]{1,3})?")
# Text that YAML 1.1 and YAML 1.2 readers, or a person, would take for different things.
_SURPRISE = lazy_pattern(
    r"(?i:yes|no|on|off|<<|=)"
    r"|[-+]?\.(?i:inf|nan)"
    r"|[-+]?[0-9_.:]*[0-9][0-9_.]*(?:[eE][-+]?[0-9]+)?"  # 1_000, 0755, .5, 1:30, 1e3, 9…
    r"|[-+]?0[bxo][0-9a-fA-F_]+"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?"
)
_SURPRISE_LENGTH = 64  # longer text is no number; it also bounds the work of the pattern
_DOTTED = lazy_pattern(r"[0-9]+(\.[0-9]+){2,}")  # 1.2.3 and 10.0.0.1 are text to every reader
_ESCAPES = {"\\": "\\", '"': '"', "/": "/", "n": "\n", "t": "\t"}
_CODES = {"x": 2, "u": 4}
# Matched at a column: a copy of the rest of a long line for each of its values takes its square.
_SPACES = lazy_pattern(" *")
_SINGLE_QUOTED = lazy_pattern(r"'((?:[^']|'')*)'")
_DOUBLE_QUOTED = lazy_pattern(r'"((?:[^"\\]|\\.)*)"')
_FLOW_PLAIN = lazy_pattern(r"(?:(?! #)(?!:(?:[ ,\[\]{}]|$))[^,\[\]{}?\t])*")
_FLOW_COLON = lazy_pattern(":( |$)")


class NotPlain(ExpciError):
    """The file uses YAML that a trial does not read. `line` counts from 1."""

    def __init__(self, line: int, message: str, fix: str) -> None:
        super().__init__(f"experiment.yml:{line}: {message}; {fix}")
        self.line, self.message, self.fix = line, message, fix


def plain_values(text: str, keys: Collection[str]) -> tuple[dict[str, Any], dict[str, int]]:
    r"""Return the bodies of `keys` as plain data, and the line of every top-level key.

    >>> plain_values("run: ./x.sh\nwarmup: 1\n", ["run", "warmup"])
    ({'run': './x.sh', 'warmup': 1}, {'run': 1, 'warmup': 2})
    """
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key, body in _sections(_split(text)):
        if key in lines:
            _refuse(body[0][0], f"`{key}` stands twice", "keep one of the two")
        lines[key] = body[0][0]
        if key in keys:
            values[key] = _Body(body, len(key) + 1).whole()
    return values, lines


_Numbered = tuple[int, str]


def _refuse(line: int, message: str, fix: str) -> NoReturn:
    raise NotPlain(line, message, fix)


def _split(text: str) -> list[_Numbered]:
    """Numbered lines without their ends. One BOM and CRLF line ends are taken as they come."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    numbered = list(enumerate(lines, start=1))
    for number, line in numbered:
        if character := _REFUSED.search(line):
            _refuse(number, f"holds the character {character[0]!a}", "remove it")
    return numbered


def _sections(lines: list[_Numbered]) -> Iterator[tuple[str, list[_Numbered]]]:
    """(top-level key, its lines) in order."""
    key, body = "", list[_Numbered]()
    for number, line in lines:
        started = _TOP_KEY.match(line)
        if started:
            if body:
                yield key, body
            key, body = started[1], [(number, line)]
        elif _continues(line) and body:
            body.append((number, line))
        elif line.strip(" ") and not line.startswith("#") and not (line == "---" and not body):
            _refuse(
                number, "is not a plain top-level `key: value`", "start it with `key:` at column 0"
            )
    if body:
        yield key, body


def _continues(line: str) -> bool:
    """Whether a line can belong to the key above: indented, empty, an item, a closing bracket."""
    return line == "" or line[0] in " #]}" or line == "-" or line.startswith("- ")


class _Body:
    """The lines of one top-level key, read from left to right, top to bottom."""

    def __init__(self, lines: list[_Numbered], column: int) -> None:
        self.numbers = [number for number, _ in lines]
        self.lines = [line for _, line in lines]
        self.row, self.column = 0, column
        self.depth = 0

    def whole(self) -> Any:
        value = self.value(0)
        if self.skip_empty():
            self.refuse("does not belong to the lines above", "check the indentation")
        return value

    def refuse(self, message: str, fix: str) -> NoReturn:
        _refuse(self.numbers[min(self.row, len(self.lines) - 1)], message, fix)

    @property
    def rest(self) -> str:
        return self.lines[self.row][self.column :] if self.row < len(self.lines) else ""

    @property
    def character(self) -> str:
        """The one at the column; "" at the end of the line."""
        return self.lines[self.row][self.column : self.column + 1]

    def after_spaces(self) -> int:
        match = _SPACES.match(self.lines[self.row], self.column)
        return match.end() if match else self.column

    def skip_empty(self) -> bool:
        """Go to the start of the next line that holds something; False when there is none."""
        while self.row < len(self.lines):
            line = self.lines[self.row]
            if self.column == 0 and line.strip(" ") and not line.lstrip(" ").startswith("#"):
                return True
            if self.column:
                self.end_line()
            else:
                self.row += 1
        return False

    def end_line(self) -> None:
        """Only spaces or a comment may be left on this line; go to the next."""
        left = self.rest
        if left.strip(" ") and not re.match(" +#", left):
            self.refuse(f"has something unexpected: {left.strip()[:40]!a}", "quote the whole value")
        self.row, self.column = self.row + 1, 0

    def indent(self) -> int:
        line = self.lines[self.row]
        return len(line) - len(line.lstrip(" "))

    def is_item(self) -> bool:
        text = self.lines[self.row].lstrip(" ")
        return text == "-" or text.startswith("- ")

    def value(self, parent: int) -> Any:
        """What follows `key:`, on this line or below, more indented than `parent`."""
        text = self.rest.lstrip(" ")
        if not text or (text.startswith("#") and self.rest.startswith(" ")):
            self.end_line()
            return self.block(parent)
        self.column += len(self.rest) - len(text)
        if text[0] in "|>":
            return self.block_text(parent)
        value = self.inline()
        self.refuse_continuation(parent)
        return value

    def inline(self) -> Any:
        """A flow collection or a scalar, with the rest of its line."""
        value = self.flow() if self.rest[0] in "[{" else self.scalar()
        self.end_line()
        return value

    def refuse_continuation(self, parent: int) -> None:
        if self.skip_empty() and self.indent() > parent:
            self.refuse(
                "continues the value above", "use one line, or `key: |` and an indented text"
            )

    def block(self, parent: int) -> Any:
        if not self.skip_empty():
            return None
        indent = self.indent()
        if self.is_item() and indent >= parent:
            return self.sequence(indent)
        if indent <= parent:
            return None
        self.column = indent
        if _KEY.match(self.rest):
            self.column = 0
            return self.mapping(indent)
        value = self.inline()
        self.refuse_continuation(parent)
        return value

    def enter(self) -> None:
        """One level down; refused where YAML written by hand never is."""
        self.depth += 1
        if self.depth > limits.YAML_DEPTH:
            self.refuse("is nested too deeply", "write it flatter")

    def mapping(self, indent: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        self.enter()
        while self.skip_empty() and self.indent() >= indent:
            match = _KEY.match(self.lines[self.row], indent)
            if self.indent() > indent or match is None:
                self.refuse("is not a plain `key: value`", "align it with the keys above")
            key = self.key(match[1])
            if key in mapping:
                self.refuse(f"`{key}` stands twice", "keep one of the two")
            self.column = match.end()
            mapping[key] = self.value(indent)
        self.depth -= 1
        return mapping

    def key(self, text: str) -> str:
        key = text[1:-1] if text[0] in "\"'" else self.resolve(text)
        if not isinstance(key, str):
            self.refuse(f"the key {text} is not text", f'quote it: "{text}"')
        return key

    def sequence(self, indent: int) -> list[Any]:
        items: list[Any] = []
        while self.skip_empty() and self.indent() == indent and self.is_item():
            self.column = indent + 1
            text = self.rest.lstrip(" ")
            if not text or text[0] in "#|>":
                self.refuse("a list item without a value on its line", "write `- value`")
            self.column += len(self.rest) - len(text)
            items.append(self.item(indent))
        return items

    def item(self, indent: int) -> Any:
        """A list item at the column: a mapping whose keys are aligned, or a value on its line."""
        if _KEY.match(self.rest):
            column, line = self.column, self.lines[self.row]
            self.lines[self.row] = f"{line[:indent]} {line[indent + 1 :]}"  # the dash is read
            self.column = 0
            return self.mapping(column)
        value = self.inline()
        self.refuse_continuation(indent)
        return value

    def block_text(self, parent: int) -> str:
        """A literal `|` or folded `>` text; the chomping of PyYAML, the indent as in the text."""
        match = _HEADER.match(self.rest)
        if match is None:
            self.refuse("has an unusual text header", "write `|` or `>` alone, and the text below")
        self.row, self.column = self.row + 1, 0
        lines, tail = self.text_lines(parent)
        text = "\n".join(lines) if match[1] == "|" else _fold(lines)
        return text + {"-": "", "": "\n", "+": "\n" * (1 + tail)}[match[2]]

    def text_lines(self, parent: int) -> tuple[list[str], int]:
        """The lines of a block text without their indent, and how many empty ones follow."""
        start = self.row
        while self.row < len(self.lines) and not self.lines[self.row].strip(" "):
            self.row += 1
        indent = self.indent() if self.row < len(self.lines) else 0
        if indent <= parent or any(len(line) > indent for line in self.lines[start : self.row]):
            self.refuse("has no indented text below it", "indent every line of the text alike")
        self.row = start
        lines: list[str] = []
        while self.row < len(self.lines):
            line = self.lines[self.row]
            if line[:indent].strip(" "):
                break
            lines.append(line[indent:])
            self.row += 1
        size = len(lines)
        while lines and not lines[-1]:
            lines.pop()
        return lines, size - len(lines)

    def scalar(self) -> Any:
        """A quoted or plain scalar on this line, outside brackets."""
        if self.rest[0] in "\"'":
            return self.quoted()
        text = re.split(" #", self.rest, maxsplit=1)[0].rstrip(" ")
        self.check_plain(text)
        if ": " in text or text.endswith(":") or "\t" in text:
            self.refuse("has a colon or a tab in an unquoted value", "quote the value")
        self.column += len(text)
        return self.resolve(text)

    def check_plain(self, text: str) -> None:
        if not text or text[0] in "&*!%@`?:,[]{}#|>\t" or text == "-" or text.startswith("- "):
            self.refuse(f"cannot start a plain value: {text[:40]!a}", "quote the value")

    def resolve(self, text: str) -> Any:
        """A plain scalar that YAML 1.1 and 1.2 read alike; others are refused."""
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return text[0] in "tT"
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        if (
            len(text) <= _SURPRISE_LENGTH
            and _SURPRISE.fullmatch(text)
            and not _DOTTED.fullmatch(text)
        ):
            self.refuse(
                f"{text[:40]} is read differently by different tools", f'quote it: "{text[:40]}"'
            )
        return text

    def quoted(self) -> str:
        """A quoted scalar that ends on its line."""
        if self.character == "'":
            match = _SINGLE_QUOTED.match(self.lines[self.row], self.column)
            text = match[1].replace("''", "'") if match else ""
        else:
            match = _DOUBLE_QUOTED.match(self.lines[self.row], self.column)
            text = re.sub(r"\\(x..|u....|.)", self.unescape, match[1]) if match else ""
        if match is None:
            self.refuse("a quoted text must end on its line", "close it, or use `key: |`")
        self.column = match.end()
        return text

    def unescape(self, match: re.Match[str]) -> str:
        code = match[1]
        is_hex = len(code) - 1 == _CODES.get(code[0]) and re.fullmatch("[0-9a-fA-F]+", code[1:])
        character = chr(int(code[1:], 16)) if is_hex else _ESCAPES.get(code, "\ud800")
        if not "\ud800" <= character <= "\udfff":
            return character
        return self.refuse(
            f"has the escape \\{code[0]}", 'use \\n, \\t, \\\\, \\" or single quotes'
        )

    def skip_flow(self) -> str:
        """Go over spaces, line ends and comments inside brackets; the next character."""
        while self.row < len(self.lines):
            before, self.column = self.column, self.after_spaces()
            at_start = before == 0 or before != self.column
            if self.character and not (self.character == "#" and at_start):
                return self.character
            self.row, self.column = self.row + 1, 0
        return self.refuse("a bracket is not closed", "close it with ] or }")

    def flow(self) -> Any:
        opening = self.character
        self.column += 1
        self.enter()
        value = self.flow_mapping() if opening == "{" else self.flow_sequence()
        self.depth -= 1
        return value

    def flow_sequence(self) -> list[Any]:
        items: list[Any] = []
        while self.skip_flow() != "]":
            items.append(self.flow_value())
            self.separator("]")
        self.column += 1
        return items

    def flow_mapping(self) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while self.skip_flow() != "}":
            is_quoted = self.character in "\"'"
            key = self.quoted() if is_quoted else self.flow_plain()
            if not isinstance(key, str) or not self.is_colon(is_quoted):
                self.refuse("is not a plain `key: value`", "write `{key: value, other: value}`")
            if key in mapping:
                self.refuse(f"`{key}` stands twice", "keep one of the two")
            self.column += 1
            mapping[key] = None if self.skip_flow() in ",}" else self.flow_value()
            self.separator("}")
        self.column += 1
        return mapping

    def is_colon(self, after_quotes: bool) -> bool:
        if after_quotes:
            return self.character == ":"
        return bool(_FLOW_COLON.match(self.lines[self.row], self.column))

    def separator(self, closing: str) -> None:
        character = self.skip_flow()
        if character == ",":
            self.column += 1
        elif character != closing:
            self.refuse(
                f"expected , or {closing} before {character!a}", "quote values that are text"
            )

    def flow_value(self) -> Any:
        character = self.character
        if character in "[{":
            return self.flow()
        return self.quoted() if character in "\"'" else self.flow_plain()

    def flow_plain(self) -> Any:
        match = _FLOW_PLAIN.match(self.lines[self.row], self.column)
        text = match[0].rstrip(" ") if match else ""
        self.check_plain(text)
        self.column += len(text)
        return self.resolve(text)


def _fold(lines: list[str]) -> str:
    """Lines of a `>` text: neighbours joined by a space, empty and further indented lines kept."""
    folded, previous, empty = list[str](), "", 0
    for position, line in enumerate(lines):
        if not line:
            empty += 1
            continue
        if position > empty:
            keeps = previous[0] in " \t" or line[0] in " \t"
            folded.append("\n" if keeps else ("" if empty else " "))
        folded += ["\n" * empty, line]
        previous, empty = line, 0
    return "".join(folded)
