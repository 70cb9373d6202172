"""expci's command line in a process of its own that is forked from this one.

The process has its own arguments, environment, directory, streams, signals and end, as one that
is started has; what it does not do is import Python's modules again, which takes a verb half a
second. What starting takes, and what a verb must not import, `tests/test_imports.py` sees to.
"""

from __future__ import annotations

import atexit
import importlib
import os
import pkgutil
import random
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, NoReturn

import expci
from expci import cli
from expci.runner import __main__ as job
from support.processes import HANG_S

Main = Callable[[], object]
Streams = tuple[int, int, int]  # descriptors: input, output, errors


def expci_command(
    directory: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """As `python -m expci` in that directory."""
    return _run(cli.main, arguments, directory, env, stdin)


def started_command(directory: Path, *arguments: str) -> RunningCommand:
    """The same, while this process goes on."""
    return _started(cli.main, arguments, directory, None)


def job_command(
    directory: Path, *arguments: str, env: Mapping[str, str], stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """As `python -S -m expci.runner` in that directory: what a job runs with nothing installed."""
    return _run(_job_main, arguments, directory, env, stdin)


def _job_main() -> int:
    return job.main(sys.argv[1:], dict(os.environ))


def _run(
    main: Main,
    arguments: Sequence[str],
    directory: Path,
    env: Mapping[str, str] | None,
    stdin: str | None,
) -> subprocess.CompletedProcess[str]:
    return _started(main, arguments, directory, env, stdin).wait()


@dataclass
class RunningCommand:
    """A forked process; its streams are read by threads."""

    pid: int
    arguments: Sequence[str]
    texts: list[str]
    threads: list[threading.Thread]

    def wait(self) -> subprocess.CompletedProcess[str]:
        limit = threading.Timer(HANG_S, os.kill, (self.pid, signal.SIGKILL))
        limit.start()
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        limit.cancel()
        for thread in (*self.threads, limit):
            thread.join()
        return subprocess.CompletedProcess(self.arguments, code, *self.texts)


def _started(
    main: Main,
    arguments: Sequence[str],
    directory: Path,
    env: Mapping[str, str] | None,
    stdin: str | None = None,
) -> RunningCommand:
    (reading, writing), *outputs = (os.pipe() for _ in range(3))
    ends = (reading, outputs[0][1], outputs[1][1])
    pid = _forked(main, arguments, directory, env, ends)
    for end in ends:
        os.close(end)
    texts = ["", ""]
    threads = [threading.Thread(target=_write, args=(writing, stdin or ""))]
    for number, (end, _) in enumerate(outputs):
        threads.append(threading.Thread(target=_read, args=(texts, number, end)))
    for thread in threads:
        thread.start()
    return RunningCommand(pid, arguments, texts, threads)


def expci_on(
    streams: Streams, directory: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> int:
    """`python -m expci` with these descriptors as its streams; its process id."""
    return _forked(cli.main, arguments, directory, env, streams)


def _forked(
    main: Main,
    arguments: Sequence[str],
    directory: Path,
    env: Mapping[str, str] | None,
    streams: Streams,
) -> int:
    _import_all()
    environment = dict(os.environ if env is None else env)
    with warnings.catch_warnings(action="ignore"):  # Python 3.12 and later warn of threads
        pid = os.fork()
    if pid == 0:
        _be(main, arguments, directory, environment, streams)
    return pid


def _read(texts: list[str], number: int, end: int) -> None:
    with os.fdopen(end, encoding="utf-8") as stream:
        texts[number] = stream.read()


def _write(end: int, text: str) -> None:
    try:
        with os.fdopen(end, "w", encoding="utf-8") as stream:
            stream.write(text)
    except BrokenPipeError:
        pass  # it ended without reading all


def _be(
    main: Main,
    arguments: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    streams: Streams,
) -> NoReturn:
    """The forked process: what Python's start would set up, then the program, then its end."""
    code = 1
    try:
        atexit._clear()  # what the tests' process does at its end
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, end in enumerate(streams):
            os.dup2(end, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        sys.stdin, sys.stdout, sys.stderr = _stream(0, "r"), _stream(1, "w"), _stream(2, "w")
        sys.argv = ["expci", *arguments]
        random.seed()
        result = main()
        code = result if isinstance(result, int) else 0
    except SystemExit as end_:
        code = end_.code if isinstance(end_.code, int) else 0 if end_.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code & 0xFF)


def _stream(number: int, mode: str) -> IO[str]:
    errors = "strict" if number < 2 else "backslashreplace"
    return open(number, mode, encoding="utf-8", errors=errors, closefd=False)


@cache
def _import_all() -> None:
    """What a forked process imports, the next one would import again."""
    for part in pkgutil.walk_packages(expci.__path__, "expci."):
        if part.name != "expci.__main__":
            importlib.import_module(part.name)
