"""What a pass that left nothing to do keeps in its clone, so that the next one can end at once.

The file stands in this clone's git directory, never on the remote: whoever may push refs cannot
write it. It holds the listing of the remote's refs that the pass worked from; the next pass ends
where the remote lists the same, and the time that the pass named has not come. It is read before
anything else is imported, so this module uses what a Python process has anyway.
"""

from __future__ import annotations

import os
import time

from expci import __version__
from expci.store.git.invocation import git_command, git_environment
from expci.store.git.refs import LISTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONGEST_S = 24 * 3600.0
_FILE = "resting-pass"
_FORMAT = f"expci.resting-pass/1 {__version__}"
_PATIENCE_S = 8.0
# Where one of these is set, what the pass acts on or prints may follow from it.
_DECIDING = frozenset(
    (
        "GITHUB_REPOSITORY",
        "GITHUB_SERVER_URL",
        "GITHUB_API_URL",
        "GITHUB_ACTIONS",
        "GITHUB_STEP_SUMMARY",
        "GH_HOST",
        "GITEA_ACTIONS",
        "FORGEJO_ACTIONS",
    )
)
_DECIDING_FOR_GIT = ("GIT_CONFIG", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_")


def keep_answer(
    private: str,
    *,
    arguments: Sequence[str],
    remote: str,
    listing: Sequence[str],
    at: float,
    until: float,
    text: str,
    document: str,
) -> None:
    """Note in the clone's `private` directory that until then the same refs mean the same answer.

    `text` and `document` are what the pass printed, for people and as JSON.
    """
    words = [_FORMAT, *_stated(arguments, private), repr(at), repr(until), remote]
    fields = [*words, "\n".join(listing), text, document]
    if any("\0" in field for field in fields) or not _may_decide(os.environ):
        return
    scratch = f"{private}/{_FILE}.{os.getpid()}"
    with open(scratch, "w", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
        file.write("\0".join(fields))
    os.replace(scratch, f"{private}/{_FILE}")  # noqa: PTH105


def answer_at_rest(arguments: Sequence[str]) -> str | None:
    """What `expci` with these arguments prints where the last pass left nothing to do.

    `None` where a pass has to look.
    """
    is_pass = arguments[:1] in (["auto"], ["--auto"])
    if (
        not is_pass
        or any(word.startswith("-C") for word in arguments)
        or not _may_decide(os.environ)
        or os.isatty(1)
    ):
        return None
    try:
        return _answer(arguments, f"{_git_directory()}/expci")
    except (OSError, ValueError):
        return None  # the pass itself says what is wrong


def _may_decide(environment: Mapping[str, str]) -> bool:
    stated = any(name.startswith(_DECIDING_FOR_GIT) for name in environment)
    return not stated and _DECIDING.isdisjoint(environment)


def _git_directory() -> str:
    """That of the repository here; one that is elsewhere (a linked work tree) is left to git."""
    place = os.getcwd()  # noqa: PTH109
    while not os.path.lexists(f"{place}/.git"):
        above = os.path.dirname(place)  # noqa: PTH120
        if above == place:
            raise ValueError("no repository")
        place = above
    return f"{place}/.git"


def _answer(arguments: Sequence[str], private: str) -> str | None:
    with open(f"{private}/{_FILE}", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
        *words, at, until, remote, listing, text, document = file.read().split("\0")
    now = time.time()
    if words != [_FORMAT, *_stated(arguments, private)] or _is_waiting(f"{private}/spool"):
        return None
    if not float(at) <= now < min(float(until), float(at) + LONGEST_S):
        return None
    if _listed(remote) != listing:
        return None
    return document if "--json" in arguments else text


def _stated(arguments: Sequence[str], private: str) -> list[str]:
    """What the answer depends on in this clone: options, the commit, configuration, defaults."""
    options = " ".join(word for word in arguments if word != "--json")
    git = os.path.dirname(private)  # noqa: PTH120
    if os.path.exists(f"{git}/reftable"):  # noqa: PTH110
        raise ValueError("the refs are not files")
    with open(f"{git}/HEAD", encoding="utf-8") as file:  # noqa: PTH123
        head = file.read().strip()
    home = os.environ.get("HOME", "")
    user = os.environ.get("XDG_CONFIG_HOME", f"{home}/.config")
    files = (
        *(f"{git}/{name}" for name in (head.removeprefix("ref: "), "packed-refs")),
        *(f"{git}/{name}" for name in ("config", "config.worktree")),
        f"{os.path.dirname(git)}/experiments/expci.yml",  # noqa: PTH120
        f"{home}/.gitconfig",
        f"{user}/git/config",
        "/etc/gitconfig",
    )
    return [options, head, " ".join(map(_version_of, files))]


def _version_of(path: str) -> str:
    """What changes when git writes a file."""
    try:
        state = os.stat(path)  # noqa: PTH116
    except OSError:
        return "-"
    return f"{state.st_mtime_ns}.{state.st_size}.{state.st_ino}"


def _is_waiting(spool: str) -> bool:
    """Whether records wait to be sent."""
    try:
        return any(os.listdir(f"{spool}/{name}") for name in os.listdir(spool))  # noqa: PTH208
    except FileNotFoundError:
        return False


def _listed(remote: str) -> str:
    """The lines of the remote's refs, as `Remote` lists them; `OSError` without an answer."""
    command = git_command(("ls-remote", "--symref", remote, *LISTED), ("protocol.version=2",))
    output = _printed(command, git_environment({}))
    lines = output.decode(errors="surrogateescape").split("\n")
    return "\n".join(line for line in lines if "\t" in line and not line.endswith("^{}"))


def _printed(command: list[str], environment: Mapping[str, str]) -> bytes:
    """What a program prints, without `subprocess`, which takes as long to import as git to run."""
    import select
    import signal

    reading, writing = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, writing, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    child = os.posix_spawnp(command[0], command, environment, file_actions=actions)
    os.close(writing)
    parts, wakes = [b""], True
    try:
        while wakes := bool(select.select([reading], [], [], _PATIENCE_S)[0]):
            parts.append(os.read(reading, 1 << 16))
            if not parts[-1]:
                break
    finally:
        os.close(reading)
        if not wakes:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if status:
        raise OSError("the remote did not answer")
    return b"".join(parts)
