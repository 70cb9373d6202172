"""GitHub Actions' own channels: workflow commands on standard output, and the job summary.

https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands. A runner takes
a line that begins with `::` for a command, so text of others never begins a line here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from expci.forge.ports import Annotation, Level
from expci.store.git import bounded

Word = Literal["error", "warning", "notice"]
WORDS: dict[Level, Word] = {"failure": "error", "warning": "warning", "notice": "notice"}
MOST = 10  # of one kind that a step may show; GitHub drops the rest without a word
SUMMARY_LIMIT = 1024 * 1024  # bytes of a step; beyond it the whole summary is dropped
_CUT = "\n\n*Shortened: the job summary would be larger than 1 MiB.*\n"


def command(word: Word, message: str, *, file: str = "", line: int = 0, title: str = "") -> str:
    """One workflow command: `::error file=a.yml,line=3,title=T::message`."""
    given = {"file": file, "line": str(line) if file and line else "", "title": title}
    properties = ",".join(f"{key}={_property(value)}" for key, value in given.items() if value)
    return f"::{word}{' ' + properties if properties else ''}::{_data(message)}"


def annotated(remarks: Iterable[Annotation]) -> Iterator[str]:
    """A command for each remark; of more than a step may show, the last counts the others."""
    by_level: dict[Level, list[Annotation]] = {}
    for item in remarks:
        by_level.setdefault(item.level, []).append(item)
    for level, items in by_level.items():
        first = items if len(items) <= MOST else items[: MOST - 1]
        for item in first:
            yield command(
                WORDS[level], item.message, file=item.path, line=item.line, title=item.title
            )
        if more := len(items) - len(first):
            yield command(WORDS[level], f"and {more} more; the log of this step has them all")


def _data(text: str) -> str:
    # `##[command]` is one anywhere in a line.
    text = text.replace("##[", "## [")
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summarize(path: Path, text: str) -> None:
    """Add Markdown to the step's summary, `path` being what `$GITHUB_STEP_SUMMARY` names."""
    present = path.stat().st_size if path.exists() else 0
    room = SUMMARY_LIMIT - present - len(_CUT.encode()) - 1
    data = text.encode(errors="replace")
    if len(data) > room:
        data = data[: max(0, room)].decode(errors="ignore").rpartition("\n")[0].encode()
        data += _CUT.encode()
    if present + len(data) < SUMMARY_LIMIT:
        bounded.append_file(path, data)
