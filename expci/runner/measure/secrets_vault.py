"""Secrets that reach the measured command and nothing else: neither `setup` nor expci.

Two processes. The keeper takes the secrets out of its environment, as other processes see it
too, and starts expci without them. It answers two requests: write the secrets, as a shell reads
them, into a pipe that the measured command alone has; and strike them out of a text.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from expci.core.lazy_pattern import lazy_pattern
from expci.core.value_class import dataclass
from expci.errors import ExpciError, UsageError

if TYPE_CHECKING:
    import socket

INPUT = "INPUT_SECRETS"
DESCRIPTOR = "EXPCI_SECRETS_FD"
_NAME = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_BYTES = 60_000  # what a pipe holds without a reader
_MESSAGE = 1 << 22
_STRUCK = "***"
_SHORTEST = 4  # shorter values would strike out half of every text
# The command's environment is set up by the shell that the command replaces.
SHELL = ("sh", "-c", '. "/dev/fd/$1"; shift; exec "$@"', "sh")


def parse_secrets(text: str) -> dict[str, str]:
    """Return the secrets of the action's input, a JSON object; unset ones (empty) are omitted."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise UsageError("the input `secrets` is not a JSON object of texts") from error
    is_texts = isinstance(given, dict) and all(isinstance(v, str) for v in given.values())
    if not is_texts or not all(map(_NAME.fullmatch, given)):
        raise UsageError("the input `secrets` is not a JSON object of texts by variable name")
    if any("\0" in value for value in given.values()) or len(_shell_text(given)) > _MOST_BYTES:
        raise UsageError("the secrets are not texts, or longer than 60 kB together")
    return {name: value for name, value in given.items() if value}


def _shell_text(secrets: Mapping[str, str]) -> bytes:
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in secrets.items())
    return "".join(lines).encode()


# --- the keeper's side -------------------------------------------------------------------


def keep_and_run(
    secrets: Mapping[str, str], command: Sequence[str], environment: Mapping[str, str]
) -> int:
    """Run `command` without the secrets and answer its requests; its exit code."""
    import socket  # only where there are secrets

    own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = subprocess.Popen(
        list(command),
        env={**environment, DESCRIPTOR: str(theirs.fileno())},
        pass_fds=(theirs.fileno(),),
    )
    theirs.close()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: child.send_signal(number))
    with own:
        _answer(own, secrets)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _answer(own: socket.socket, secrets: Mapping[str, str]) -> None:
    """Answer until the other end is closed, which the end of the child does."""
    import socket

    struck = _strikeable(secrets)
    while True:
        message, descriptors, _, _ = socket.recv_fds(own, _MESSAGE, 1)
        if not message:
            return
        if descriptors:
            with os.fdopen(descriptors[0], "wb") as pipe:
                pipe.write(_shell_text(secrets))
        else:
            text = message.decode()
            for value in struck:
                text = text.replace(value, _STRUCK)
            own.send(text.encode())


def _strikeable(secrets: Mapping[str, str]) -> list[str]:
    """The values and their lines, as they are and as JSON writes them; the longest first."""
    plain = {part for value in secrets.values() for part in (value, *value.splitlines())}
    written = {json.dumps(v, ensure_ascii=a)[1:-1] for v in plain for a in (True, False)}
    long = {value for value in plain | written if len(value) >= _SHORTEST}
    return sorted(long, key=len, reverse=True)


def taken_out(environment: MutableMapping[str, str]) -> str:
    """Take the input out of this process's environment, as /proc shows it too; its value."""
    value = environment.pop(INPUT, "")
    if value and sys.platform == "linux":
        _overwrite(INPUT.encode() + b"=")
        _close_to_others()
    return value


def _close_to_others() -> None:
    """Let no other process of this user read this one's memory (prctl(2), PR_SET_DUMPABLE)."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)


def _overwrite(name: bytes) -> None:
    # proc(5): fields 50 and 51 of stat are where the initial environment lies. It stays readable
    # for every process of the user whatever the program does with its own copy.
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    begin = int(fields[47])
    block = b"\0" + Path("/proc/self/environ").read_bytes()
    at = block.find(b"\0" + name)
    if at < 0:
        return
    length = block.find(b"\0", at + 1) - at - 1
    try:
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            memory.seek(begin + at)
            memory.write(b"-" * length)
    except OSError as error:
        raise ExpciError(f"the secrets cannot be hidden from what runs here: {error}") from error


# --- expci's side ------------------------------------------------------------------------


@dataclass(frozen=True)
class SecretsVault:
    """The keeper, as expci reaches it; the secrets themselves never come here."""

    channel: socket.socket

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> SecretsVault | None:
        """The vault of this process; `None` where nobody keeps secrets for it."""
        number = environment.get(DESCRIPTOR, "")
        if not number.isdecimal():
            return None
        import socket

        os.set_inheritable(int(number), False)
        return cls(socket.socket(fileno=int(number)))

    def reading_end(self) -> int:
        """Return a descriptor that the secrets are read from, once; the caller closes it."""
        import socket

        reading, writing = os.pipe()
        try:
            socket.send_fds(self.channel, [b"environment"], [writing])
        finally:
            os.close(writing)
        return reading

    def strike(self, text: str) -> str:
        """Return `text` without any of the secrets."""
        self.channel.send(text.encode())
        return self.channel.recv(_MESSAGE).decode()
