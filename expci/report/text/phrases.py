"""Sentences whose parts know what they are, so that each format can set them its own way.

Plain strings in a phrase are escaped like any user text; only `Code`, `Strong`, `Pull` and
`Link` carry markup. A sentence built here is therefore safe by default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from expci.report.text import escape


@dataclass(frozen=True)
class Code:
    """A name, a branch or a command."""

    text: str


@dataclass(frozen=True)
class Strong:
    """What the eye should meet first."""

    text: str


@dataclass(frozen=True)
class PullRequestNumber:
    """A pull request on the forge, by its number: the one reference that is meant to link."""

    number: int


@dataclass(frozen=True)
class Link:
    """An address that expci built and that is meant to be followed, under a label of its own."""

    url: str
    label: str = ""


@dataclass(frozen=True)
class Phrase:
    """Parts in their order."""

    parts: tuple[str | Code | Strong | PullRequestNumber | Link, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.parts)


NOTHING = Phrase()

_MOST_CHARACTERS = 1000  # of one text that somebody wrote; the ledger has it whole
_MOST_OF_NAME = 200
_ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{1,500}")

Words = str | Code | Strong | PullRequestNumber | Link | Phrase
Setter = Callable[[Words], str]


def phrase(words: str, *parts: Words) -> Phrase:
    """`words` with each `{}` replaced by the next part."""
    pieces = words.split("{}")
    if len(pieces) != len(parts) + 1:
        raise ValueError(f"{len(parts)} parts for {len(pieces) - 1} places: {words!r}")
    chain: list[Words] = [pieces[0]]
    for part, piece in zip(parts, pieces[1:], strict=True):
        chain += [part, piece]
    return joined(chain)


def joined(words: Iterable[Words], separator: str = "") -> Phrase:
    """Phrases in a row, `separator` between them."""
    parts: list[str | Code | Strong | PullRequestNumber | Link] = []
    for index, item in enumerate(words):
        if index and separator:
            parts.append(separator)
        parts.extend(item.parts if isinstance(item, Phrase) else (item,))
    return Phrase(tuple(part for part in parts if part != ""))


def spoken(text: str) -> Phrase:
    """A sentence in which names and commands stand between backticks."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return Phrase((text,))
    return joined([Code(part) if n % 2 else part for n, part in enumerate(parts)])


def in_markdown(words: Words) -> str:
    """Words as Markdown."""
    match words:
        case Phrase(parts):
            return _spaced(parts, in_markdown)
        case Code(text):
            return escape.code(escape.clipped(text, _MOST_OF_NAME))
        case Strong(text):
            return f"**{escape.markdown(text)}**"
        case PullRequestNumber(number):
            return f"#{number}"
        case Link(url, label) if _ADDRESS.fullmatch(url):
            return f"[{escape.markdown(label)}](<{url}>)" if label else f"<{url}>"
        case Link(url):
            return escape.markdown(url)
    return escape.markdown(escape.clipped(words, _MOST_CHARACTERS))


def in_text(words: Words) -> str:
    """Words for a terminal."""
    match words:
        case Phrase(parts):
            return _spaced(parts, in_text)
        case Code(text):
            return escape.clean(text)
        case Strong(text):
            plain = escape.clean(text)
            # A number stays as it is: `+7.00 MB/s` has a unit.
            return plain if any(map(str.isdigit, plain)) else plain.upper()
        case PullRequestNumber(number):
            return f"#{number}"
        case Link(url):
            return escape.clean(url)
    return escape.clipped(words, _MOST_CHARACTERS)


def in_message(words: Words) -> str:
    """Words for a commit message or a title."""
    match words:
        case Phrase(parts):
            return _spaced(parts, in_message)
        case Code(text) | Strong(text):
            return escape.in_commit_message(text)
        case PullRequestNumber(number):
            return f"#{number}"
        case Link(url):
            return escape.in_commit_message(url)
    return escape.in_commit_message(escape.clipped(words, _MOST_CHARACTERS))


def _spaced(parts: Iterable[str | Code | Strong | PullRequestNumber | Link], setter: Setter) -> str:
    """The parts in a row; the spaces at their ends, which escaping strips, are kept."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += " " if part[:1].isspace() and not text.endswith(" ") else ""
            text += setter(part)
            text += " " if part[-1:].isspace() and not text.endswith(" ") else ""
        else:
            text += setter(part)
    return text.strip()
