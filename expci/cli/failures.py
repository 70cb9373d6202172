"""How a verb ends that cannot go on: one line for people, a log for whoever looks into it.

No verb ends in a traceback: not on a full disk, not on output that nobody can take, not
on a defect of expci's own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from expci.runner.ci.messages import plain
from expci.runner.ci.streams import prepare_streams

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_OURS = (errno.EROFS, errno.EACCES, errno.EPERM)
_LOG = "expci-errors.log"
_MOST_LOG = 1_000_000  # bytes, then it begins anew


def printable_streams() -> None:
    """Names that are no text are printed with their bytes as escapes, never refused."""
    prepare_streams()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def print_error(message: str) -> None:
    """`error: …` on standard error, as far as there is one."""
    with contextlib.suppress(OSError):
        colour = None if os.environ.get("NO_COLOR") else "red"
        click.secho("error: ", fg=colour, bold=bool(colour), err=True, nl=False)
        click.echo(plain(message), err=True)


def of_system(error: OSError) -> str:
    """What the operating system refused, and what to do."""
    what = error.strerror or str(error)
    place = f": {error.filename}" if error.filename else ""
    if error.errno in _NO_ROOM:
        again = "Free some space, then run the command again: it continues where it stopped"
        return f"{what}{place}. {again}"
    if error.errno in _NOT_OURS:
        return f"{what}{place}. expci must write below .git here: allow that, or use another clone"
    return f"{what}{place}"


def of_output(error: OSError) -> str:
    """What nobody could take is no word on what was done."""
    return (
        f"the output could not be written: {error.strerror or error}. What the command changes may "
        "be done: look with `expci status` before you run it again"
    )


def of_defect(error: Exception) -> str:
    """A defect of expci's own, in one line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}. This is a defect of expci: please report it"


def log(error: BaseException) -> str:
    """Keep the traceback; where it is, for the message, or "" where nothing can be written."""
    import traceback

    text = "".join(traceback.format_exception(error))
    entry = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {' '.join(sys.argv[1:2])}\n{text}\n"
    for place in _places():
        with contextlib.suppress(OSError):
            path = place / _LOG
            mode = "a" if path.exists() and path.stat().st_size < _MOST_LOG else "w"
            handle = os.open(path, _flags(mode), 0o600)
            with os.fdopen(handle, mode, errors="backslashreplace") as file:
                file.write(entry)
            return f" (the details are in {path})"
    return ""


def _flags(mode: str) -> int:
    # Never through a link: the system's own directory for temporary files is everybody's.
    how = os.O_APPEND if mode == "a" else os.O_TRUNC
    return os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | how


def _places() -> list[Path]:
    """The clone's private directory, where there is one, else the system's for such files."""
    here = Path.cwd() if _cwd_exists() else Path("/")
    private = (parent / ".git" / "expci" for parent in (here, *here.parents))
    import tempfile

    return [*[place for place in private if place.is_dir()][:1], Path(tempfile.gettempdir())]


def _cwd_exists() -> bool:
    try:
        return Path.cwd().is_dir()
    except OSError:
        return False
