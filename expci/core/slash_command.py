"""Commands that people write into comments: `/expci VERB [ID] [words]`.

Pure: from a comment's text to a command, and from a command and the names that exist
to the experiment that it means. The first line that is not empty is the command, from its
first character; text that is quoted, indented as code or inside a fence is none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Verb = Literal["status", "start", "pause", "resume", "extend", "stop", "promote", "rollback"]
VERBS: tuple[Verb, ...] = get_args(Verb)
PREFIX = "/expci"
USAGE = f"{PREFIX} {'|'.join(VERBS)} [ID] [words]"
FORCE = "force"

_LINE_LIMIT = 500  # characters of the command's line that are read
_WORD_LIMIT = 50
_ALIKE = 0.75  # a first word so like an existing name is a slip of the pen, not a reason
_AMOUNT = re.compile(r"([0-9]{1,7})(days?|trials?|d)?", re.IGNORECASE)
_NOUNS = {"d": "days", "day": "days", "days": "days", "trial": "trials", "trials": "trials"}


@dataclass(frozen=True)
class Command:
    """A command as written. `words` is what follows the verb; `verb` "" is one unknown."""

    verb: Verb | Literal[""]
    words: tuple[str, ...] = ()
    written: str = ""


@dataclass(frozen=True)
class Meant:
    """A command with the experiment that it is about."""

    verb: Verb
    experiment: str
    words: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class Unclear:
    """Why a command cannot be carried out, and what to write instead."""

    why: str


@dataclass(frozen=True)
class More:
    """What `extend` gives: days, or trials per arm; the words after it are the reason."""

    days: int = 0
    trials: int = 0
    words: tuple[str, ...] = ()


def parse(body: str) -> Command | None:
    """Return the command that a comment begins with; `None` where it is no command.

    >>> command = parse("/expci pause speed too slow today")
    >>> command.verb, command.words
    ('pause', ('speed', 'too', 'slow', 'today'))
    >>> parse("Please /expci pause") is None
    True
    """
    line = next((line for line in body.splitlines() if line.strip()), "")
    if not re.match(rf"{PREFIX}(?:[ \t]|$)", line):
        return None
    parts = line[:_LINE_LIMIT].split()[1 : _WORD_LIMIT + 2]
    word, words = (parts[0], tuple(parts[1:])) if parts else ("", ())
    for verb in VERBS:
        if word == verb:
            return Command(verb, words, word)
    return Command("", words, word)


def resolve(
    command: Command, here: Collection[str], everywhere: Collection[str]
) -> Meant | Unclear:
    """Return the experiment that a command means.

    `here` are the experiments of the pull request with the comment, `everywhere` all that there
    are. The ID may be omitted where the pull request has exactly one.

    >>> command = parse("/expci pause sped")
    >>> resolve(command, here=["speed"], everywhere=["speed", "memory"])
    Unclear(why="there is no experiment 'sped'; did you mean speed?")
    >>> resolve(parse("/expci pause too slow today"), ["speed"], ["speed", "memory"]).reason
    'too slow today'
    """
    if not command.verb:
        what = f"{command.written!a} is not a command" if command.written else "a verb is missing"
        return Unclear(f"{what}; write {USAGE}")
    names = {*here, *everywhere}
    first, rest = command.words[:1], command.words[1:]
    if first and first[0] in names:
        return Meant(command.verb, first[0], rest)
    alike = difflib.get_close_matches(first[0], sorted(names), 1, _ALIKE) if first else []
    if alike:
        return Unclear(f"there is no experiment {first[0]!a}; did you mean {alike[0]}?")
    if len(here) == 1:
        return Meant(command.verb, next(iter(here)), command.words)
    return Unclear(_which(command.verb, here, everywhere))


def _which(verb: str, here: Collection[str], everywhere: Collection[str]) -> str:
    names = sorted(here or everywhere)[:10]
    if not names:
        return "there is no experiment here: add one under experiments/ first"
    what = (
        "this pull request has several experiments"
        if here
        else "nothing here says which experiment"
    )
    return f"{what}; write `{PREFIX} {verb} ID` with one of: {', '.join(names)}"


def parse_extension(words: Sequence[str]) -> More | Unclear:
    """Read `5 days`, `5d`, `--days 5`, `--days=5`, the same with trials; then the reason.

    >>> more = parse_extension(["7", "days", "more", "data"])
    >>> more.days, more.words
    (7, ('more', 'data'))
    """
    parts = [part for word in words[:2] for part in word.split("=", 1)][:2]
    taken = 1 if words and "=" in words[0] else 2
    if parts and parts[0] in ("--days", "--trials"):
        noun, number = parts[0][2:], parts[1] if len(parts) > 1 else ""
        match = re.fullmatch(r"[0-9]{1,7}", number)
        return _more(int(number), noun, words[taken:]) if match else _no_amount()
    match = _AMOUNT.fullmatch(words[0]) if words else None
    if match is None:
        return _no_amount()
    if match[2]:
        return _more(int(match[1]), _NOUNS[match[2].lower()], words[1:])
    named = _NOUNS.get(words[1].lower()) if len(words) > 1 else None
    return _more(int(match[1]), named, words[2:]) if named else _no_amount()


def _more(number: int, noun: str, words: Sequence[str]) -> More:
    if noun == "days":
        return More(days=number, words=tuple(words))
    return More(trials=number, words=tuple(words))


def _no_amount() -> Unclear:
    return Unclear(f"say by how much: `{PREFIX} extend ID 7 days`, or `50 trials` (per arm)")
