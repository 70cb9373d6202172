"""User text as harmless text for the place where it appears.

Names, hypotheses, reasons and branch names come from people, forks and machines. Each
function returns one line that shows the text and does nothing else.

GitHub links `@name`, `#1` and `GH-1` in the *rendered* text, so neither a backslash nor an
entity stops it; a zero-width space between the sign and the name does.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_ZERO_WIDTH = "\u200b"
_ENTITY = "&#8203;"
_JOINERS = "\u200c\u200d"  # letters of Persian and Indic scripts, parts of emoji
_REPLACEMENT = "\ufffd"

_MARKUP = re.compile(
    r"""
      (?P<entity>[&<>|])
    | (?P<mention>@)
    | (?P<issue>\#)
    | (?P<numbered>gh-(?=\d))
    | (?P<scheme>:(?=//))
    | (?P<host>www(?=\.))
    | (?P<sign>[\\`*_\[\]~$])
    | (?P<bullet>^-(?=[-\s]|$)|^\+(?=\s|$)|^=(?==*$))
    | (?P<list>^\d{1,9}(?=[.)](?:\s|$)))
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
_PLAIN_CODE = re.compile(r"[A-Za-z0-9_.,:/=+%()'\"… -]+")
_SKIP_CI = re.compile(r"\[(?=\s*(?:skip|no|ci|actions)\b)", re.IGNORECASE)


def clean(text: object) -> str:
    """One line of visible text.

    White space becomes one space; control characters (ANSI sequences begin with one) become
    U+FFFD so that their place stays visible; bidirectional and invisible ones go.
    """
    line = str(text)
    if not line.isprintable():
        line = "".join(_visible(char) for char in line)
    return " ".join(line.split()) if " " in line else line


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if char.isspace() or category in ("Zl", "Zp"):
        return " "
    if category in ("Cc", "Cs") or ord(char) & 0xFFFE == 0xFFFE:  # the last are in no XML
        return _REPLACEMENT
    return "" if category == "Cf" and char not in _JOINERS else char


def markdown(text: object) -> str:
    """Text that every Markdown parser shows as itself: no markup, HTML, link or mention."""
    return _escape(clean(text))


@lru_cache(maxsize=1024)  # a report says the same names many times over
def _escape(line: str) -> str:
    return _MARKUP.sub(_escaped, line)


def _escaped(match: re.Match[str]) -> str:
    sign = match.group()
    match match.lastgroup:
        case "entity":
            return _ENTITIES[sign]
        case "sign" | "bullet":
            return "\\" + sign
        case "list":
            return sign + "\\"
        case "issue":
            return "\\#" + _ENTITY
        case _:
            return sign + _ENTITY


def code(text: object) -> str:
    """A name as a Markdown code span; one with signs that could end the span, as plain text."""
    line = clean(text)
    return f"`{line}`" if _PLAIN_CODE.fullmatch(line) else markdown(line)


def in_commit_message(text: object) -> str:
    """Text for a commit message or a title, where Markdown is not read but `@`, `#` and
    `[skip ci]` are."""
    line = re.sub(r"([@#])(?=\w)", rf"\1{_ZERO_WIDTH}", clean(text))
    line = re.sub(r"(gh-)(?=\d)", rf"\1{_ZERO_WIDTH}", line, flags=re.IGNORECASE)
    return _SKIP_CI.sub("[" + _ZERO_WIDTH, line).replace("<!--", f"<{_ZERO_WIDTH}!--")


def clipped(text: object, limit: int) -> str:
    """At most `limit` characters of visible text; an ellipsis says that there was more."""
    line = clean(text)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def width(text: str) -> int:
    """Columns that `text` takes in a terminal."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def words(key: str) -> str:
    """A key as people write it: `file_changed` is `file changed`."""
    return clean(key).replace("_", " ")


def short(identifier: str | None) -> str:
    """The first twelve characters of a hash; `—` without one."""
    return clean(identifier or "—")[:12]
