"""Objects that a partial clone left on its server: loading them has an end.

git loads such an object in the middle of any command, without a limit of its own. Standard
library only (the trial path).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from expci.errors import Unreachable
from expci.store.git.refusal import excerpt
from expci.store.git.time_limit import TimedOut, TimeLimits, end_process, process_group, run_limited

_NOTHING_IS_LOADED = {"GIT_ALLOW_PROTOCOL": "none"}
_SILENT = (
    "an object that this partial clone lacks did not arrive: its server {}, and was not tried "
    "again. Check the network; EXPCI_SILENCE_SECONDS and EXPCI_REMOTE_SECONDS set the limits"
)

_FAILED = (
    "an object that this partial clone lacks could not be loaded: {}. Check the network and the "
    "token, then run the command again"
)


class LazyObjects:
    """What one process loads into a partial clone; its server is waited for in vain only once."""

    def __init__(self, packs: Path) -> None:
        self._packs, self._limits = packs, TimeLimits.of(os.environ)
        self._problem = ""

    @property
    def config(self) -> tuple[str, ...]:
        """git's settings for a server that is reached over HTTP."""
        silence = max(1, round(self._limits.silence))
        return "http.lowSpeedLimit=1", f"http.lowSpeedTime={silence}"

    @property
    def environment(self) -> Mapping[str, str]:
        return _NOTHING_IS_LOADED if self._problem else {}

    def stop(self, problem: str) -> None:
        """Load nothing more: the server is silent."""
        self._problem = problem

    def run(
        self, command: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: bytes
    ) -> subprocess.CompletedProcess[bytes]:
        """The finished program; `Unreachable` after the limit of a whole call."""
        import tempfile  # only a partial clone waits for it

        whole = self._limits.whole
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            limits = TimeLimits(whole, whole, whole)
            try:
                return run_limited(command, limits, cwd=cwd, env=env, stdin=file)
            except TimedOut as error:
                raise self._silent(str(error)) from error

    @contextlib.contextmanager
    def watched(self, reader: subprocess.Popen[bytes]) -> Iterator[None]:
        """End the reader of objects once nothing arrives: `Unreachable`."""
        has_answered, is_late = threading.Event(), threading.Event()

        def watch() -> None:
            arrived, before = self._arrived(), -1
            while arrived != before:
                if has_answered.wait(self._limits.silence):
                    return
                arrived, before = self._arrived(), arrived
            is_late.set()
            end_process(reader, process_group())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        except (BrokenPipeError, EOFError):
            if is_late.is_set():
                raise self._silent(f"was silent for {self._limits.silence:g} seconds") from None
            raise
        finally:
            has_answered.set()
            thread.join()

    def _arrived(self) -> int:
        """Bytes of packs that are on their way."""
        with contextlib.suppress(OSError):
            return sum(path.stat().st_size for path in self._packs.glob("tmp_*"))
        return 0

    def failure(self, words: str) -> Unreachable:
        """Why an object that is not here could not be loaded; `words` are git's."""
        why = excerpt(" ".join(words.split())).rstrip(".")
        return Unreachable(self._problem or _FAILED.format(why), words)

    def _silent(self, what: str) -> Unreachable:
        self.stop(_SILENT.format(what))
        return Unreachable(self._problem)


def of_clone(common_dir: Path) -> LazyObjects | None:
    """`None` for a clone that holds all of its objects."""
    packs = common_dir / "objects" / "pack"
    return LazyObjects(packs) if any(packs.glob("*.promisor")) else None
