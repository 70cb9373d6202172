"""Starting a command from a small process, at a moment of our own choosing (Linux).

exec(2) counts the memory of the process that forked towards the peak of the child, and forking
Python takes milliseconds of the time that is measured. So a shell forks, its child waits for a
word, the shell goes, and this process, the nearest subreaper (prctl(2)), is the parent that
wait4(2) reports to. When the word is given, the child replaces itself by the command.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from expci.core.lazy_pattern import lazy_pattern
from expci.core.value_class import dataclass

SHELL = "/bin/sh"
# Without the word (this process died) nothing is run. The group is the shell's, and outlives it.
_SCRIPT = '(read -r word && exec "$@" </dev/null); :'
_NAME = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_]*")  # others a shell does not hand on
_SET_CHILD_SUBREAPER = 36
_PATIENCE_S = 5.0


@dataclass(frozen=True)
class WaitingChild:
    """A child of this process that waits for `release`; `group` is its process group."""

    pid: int
    group: int
    gate: int

    def release(self) -> float:
        """Let it become the command; the moment, by the monotonic clock."""
        began = time.monotonic()
        os.write(self.gate, b"go\n")
        os.close(self.gate)
        return began


def waiting_child(
    arguments: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    output: int,
    error: int,
    pass_fds: Sequence[int] = (),
) -> WaitingChild | None:
    """Return the command as a child that waits; `None` where this system cannot do that."""
    if sys.platform != "linux" or not all(map(_NAME.fullmatch, environment)):
        return None
    with _subreaper() as is_one:
        if not is_one:
            return None
        reading, gate = os.pipe()
        try:
            shell = subprocess.Popen(
                [SHELL, "-c", _SCRIPT, "sh", *arguments],
                cwd=directory,
                env=dict(environment),
                stdin=reading,
                stdout=output,
                stderr=error,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except OSError:
            os.close(gate)
            return None
        finally:
            os.close(reading)
        pid = _only_child(shell)
        shell.kill()
        shell.wait()
    if pid is None or _parent(pid) != os.getpid():
        os.close(gate)  # without a word it ends by itself
        return None
    return WaitingChild(pid, shell.pid, gate)


@contextlib.contextmanager
def _subreaper() -> Iterator[bool]:
    """Have orphaned descendants become children of this process; whether that is so."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
        is_one = prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError):
        yield False
        return
    try:
        yield is_one
    finally:
        prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _only_child(shell: subprocess.Popen[bytes]) -> int | None:
    """The process that the shell has forked; `None` where the system does not tell."""
    children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children")
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        try:
            words = children.read_text().split()
        except OSError:
            return None
        if words:
            return int(words[0])
        time.sleep(0.0002)
    return None


def _parent(pid: int) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        # proc(5): pid (comm) state ppid …; comm may hold anything
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return None
