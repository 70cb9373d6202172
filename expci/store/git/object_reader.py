"""Reading objects: one `git cat-file` that answers for as long as its owner lives.

Standard library only (the trial path).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, NamedTuple, cast

from expci.core.lazy_pattern import lazy_pattern
from expci.errors import GitError
from expci.store.git.lazy_objects import LazyObjects
from expci.store.git.refusal import visible_text
from expci.store.git.time_limit import end_process, process_group

# What is requested at once fits into the pipe, so that neither side waits for the other.
_AT_ONCE = 32_000  # bytes
_HEADER = lazy_pattern(rb"([0-9a-f]{40,64}) ([a-z]+) ([0-9]+)\n")


class StoredObject(NamedTuple):
    """`data` is b"" where only kind and size were wanted."""

    oid: str
    kind: str
    size: int
    data: bytes


class ObjectReader:
    """`start` starts `git cat-file --batch-command`, with pipes.

    `lazy` watches over what it loads into a partial clone; `None` for a whole one.
    """

    def __init__(
        self, start: Callable[[], subprocess.Popen[bytes]], lazy: LazyObjects | None = None
    ) -> None:
        self._start, self._lazy = start, lazy
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._finalizer: Callable[[], str | None] = lambda: ""

    def info(self, names: Iterable[str]) -> list[StoredObject | None]:
        """Kind and size of what each name stands for; `None` for what is not here."""
        return self._answers("info", names)

    def contents(self, names: Iterable[str]) -> list[StoredObject | None]:
        """What each name stands for, with its bytes; `None` for what is not here."""
        return self._answers("contents", names)

    def close(self) -> str:
        """End the process, if there is one; the next question starts another. Its last words."""
        self._process = None
        return self._finalizer() or ""

    def _answers(self, command: str, names: Iterable[str]) -> list[StoredObject | None]:
        answers: list[StoredObject | None] = []
        for few in _in_portions([f"{command} {name}" for name in names]):
            answers += self._exchange(few)
        return answers

    def _exchange(self, lines: Sequence[str]) -> list[StoredObject | None]:
        was_running = self._process is not None and self._owner == os.getpid()
        try:
            return self._talk(lines)
        except (BrokenPipeError, EOFError):
            words = self.close()
        except BaseException:
            self.close()  # or the next question would read the rest of this answer
            raise
        if was_running:  # it was killed since it last answered: a Ctrl-C reaches all of a group
            return self._exchange(lines)
        if self._lazy is not None and "promisor remote" in words:
            raise self._lazy.failure(words)
        raise GitError(f"git cat-file failed: {words}", words)

    def _talk(self, lines: Sequence[str]) -> list[StoredObject | None]:
        process = self._running()
        questions = cast(IO[bytes], process.stdin)
        askable = [line for line in lines if "\n" not in line]
        text = "".join(line + "\n" for line in askable)
        with self._lazy.watched(process) if self._lazy else contextlib.nullcontext():
            questions.write(text.encode(errors="surrogateescape"))
            questions.flush()
            answers = {line: _read(cast(IO[bytes], process.stdout), line) for line in askable}
        return [answers.get(line) for line in lines]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid():  # a forked child has its own
            self._process, self._owner = self._start(), os.getpid()
            group = process_group() if self._lazy else None
            self._finalizer = weakref.finalize(self, _end, self._process, self._owner, group)
        return self._process


def _read(answers: IO[bytes], line: str) -> StoredObject | None:
    header = answers.readline()
    if not header.endswith(b"\n"):
        raise EOFError
    match = _HEADER.fullmatch(header)
    if match is None:
        return None  # missing, or an abbreviation of several
    size = int(match[3])
    data = b""
    if line.startswith("contents "):
        data = answers.read(size + 1)
        if len(data) < size + 1:
            raise EOFError
    return StoredObject(match[1].decode(), match[2].decode(), size, data[:size])


def _in_portions(lines: Sequence[str]) -> Iterator[list[str]]:
    """Lines that are requested at once; one line each only once in a portion."""
    portion: dict[str, None] = {}
    size = 0
    for line in lines:
        if portion and (size + len(line) > _AT_ONCE or line in portion):
            yield list(portion)
            portion, size = {}, 0
        portion[line] = None
        size += 4 * len(line) + 1  # at most four bytes a character
    if portion:
        yield list(portion)


def _end(process: subprocess.Popen[bytes], owner: int, group: int | None) -> str:
    """Kill it, for it only reads; its last words."""
    if owner != os.getpid():
        return ""
    end_process(process, group)
    process.wait()
    words = cast(IO[bytes], process.stderr)
    os.set_blocking(words.fileno(), False)  # a child of its own may still hold the other end
    last = words.read() or b""
    for pipe in (process.stdin, process.stdout, words):
        with contextlib.suppress(OSError):  # what was not sent
            cast(IO[bytes], pipe).close()
    return visible_text(last)
