"""Why a server refused a push: a code for machines, its own words and fitting advice for people.

Pure. The words are matched because git's protocol has nothing else for the reason; what
is not recognised is `other` and quoted as it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from expci.core.lazy_pattern import lazy_pattern
from expci.core.value_class import dataclass

RACE = "race"
NAME = "name"
SIGNATURE = "signature"
OTHER = "other"

# The first that matches wins: a protection often ends in "hook declined" too.
_SIGNS: tuple[tuple[str, str], ...] = (
    (NAME, r"' exists; cannot create|refname conflict|directory/file conflict|funny refname"),
    ("size", r"GH001|GitLab: .*exceed|file size limit|maximum allowed size|too large|larger than"),
    ("disk", r"No space left on device|Disk quota exceeded|Read-only file system"),
    (SIGNATURE, r"must have verified signatures"),
    ("protection", r"GH006|GH013|protected|rule violation|repository rule"),
    ("deletion", r"deletion prohibited|deletion of the current branch|refusing to delete"),
    ("damaged", r"not our ref|bad object refs/|missing necessary objects"),
    ("shallow", r"shallow update not allowed"),
    (
        "permission",
        r"Permission .*denied|[Aa]ccess denied|not allowed to push|insufficient permission"
        r"|Authentication failed|could not read Username|error: 40[13]|Repository not found"
        r"|not granted|read-only",
    ),
    ("hook", r"hook declined|hook"),
    (
        "network",
        r"Could not resolve host|Connection (refused|timed out|reset)|unable to access"
        r"|Network is unreachable|No route to host|hung up|early EOF",
    ),
)
_RACES = (
    "stale info",
    "fetch first",
    "non-fast",
    "failed to update ref",
    "cannot lock ref",
    "incorrect old value",
    "atomic transaction failed",
)
ADVICE: Mapping[str, str] = {
    NAME: "rename or delete the ref that is in the way: git allows no ref below another one",
    "size": "make what is pushed smaller, or raise the server's limit",
    "disk": "the server's disk is full or read-only: whoever runs it must make room",
    SIGNATURE: "push it signed by a key of your own, or with an App's or a workflow's token",
    "protection": "let expci's actor bypass the rule, or have a person do it by pull request",
    "deletion": "what could not be deleted is harmless and stays",
    "damaged": "a ref there names an object that is missing: whoever runs the server must delete "
    "that ref or bring the object back (`git fsck` there names it)",
    "shallow": "`git fetch --unshallow`, then run the command again",
    "permission": "give the token or key write access (in GitHub Actions: `contents: write`)",
    "hook": "a hook of the server refused it: do what it says, or let expci's refs through",
    "network": "check the address and the network, then run the command again",
    OTHER: "see what the server says",
}
_PROGRESS = lazy_pattern(
    r"^(remote: )?\s*((Enumerating|Counting|Compressing|Writing|Receiving|Resolving|Unpacking"
    r"|Finding|Getting|Checking|Updating|Filtering|Processing)\b.*: +\d+.*"
    r"|Total \d+ .*|Delta compression .*|Unpacking objects.*)$"
)
_UNWRITTEN = lazy_pattern(
    r"unable to (create|write)|[Cc]ould ?n[o']t (write|create)|cannot (create|write)"
    r"|failed to write|unable to update local ref|Unable to create '[^']*': (?!File exists)"
)
_MOST_QUOTED = 2000  # characters
_NOISE = lazy_pattern(r"^(To |From |! |error: failed to push some refs|hint: )")


@dataclass(frozen=True)
class Refusal:
    """`code` is one of `ADVICE`, or `race`. `words` are those of git and the server."""

    code: str
    words: str

    @property
    def advice(self) -> str:
        return ADVICE.get(self.code, ADVICE[OTHER])

    def __str__(self) -> str:
        words = self.words.rstrip(".") or "no reason was given"
        return f"{words}. {self.advice[:1].upper()}{self.advice[1:]}"


def visible_text(output: bytes) -> str:
    """What git printed for people, without its progress; every byte is printable."""
    text = output.decode(errors="backslashreplace")
    lines = (line.rstrip() for line in re.split(r"[\r\n]+", text))
    return "\n".join(line for line in lines if line and not _PROGRESS.match(line))


def of_push(stderr: bytes, rejections: Mapping[str, str]) -> Refusal:
    """Why a push failed. `rejections` has git's one reason for each ref that was refused."""
    spoken = [line.removeprefix("remote:").strip() for line in _server_lines(visible_text(stderr))]
    reasons = dict.fromkeys(f"{ref} {why}" for ref, why in rejections.items())
    words = "; ".join([*reasons, *filter(None, dict.fromkeys(spoken))])
    code = classify("\n".join([*rejections.values(), *spoken]))
    # A server says "failed to update ref" for much else than another writer, and hangs up
    # after an atomic push of which it took nothing.
    if rejections and code in (OTHER, "hook", "network"):
        raced = any(is_race(why) for why in rejections.values())
        code = RACE if raced else classify("\n".join(rejections.values()))
    return Refusal(code, excerpt(words))


def write_failure(words: str) -> str | None:
    """Why git could not write on this machine, and what to do; `None` for any other failure.

    The lines of a server do not count: its disk is another one.
    """
    for line in words.splitlines():
        if not line.startswith("remote:") and _UNWRITTEN.search(line):
            return (
                f"git cannot write in this clone: {line.strip()}. Free some space, or allow "
                "writing below .git, then run the command again"
            )
    return None


def excerpt(words: str) -> str:
    """Words of a server, which may be without end, as far as a message quotes them."""
    half = _MOST_QUOTED // 2
    return words if len(words) <= _MOST_QUOTED else f"{words[:half]} … {words[-half:]}"


def classify(text: str) -> str:
    """Return the code of a message of git or a server."""
    return next((code for code, sign in _SIGNS if re.search(sign, text)), OTHER)


def is_race(why: str) -> bool:
    """Whether git's reason for one ref means that another writer was first."""
    return any(word in why for word in _RACES)


def after_races(words: str) -> str:
    """What to say when every attempt was a lost race; `words` are the server's last ones."""
    if re.search(r"\.lock'?: File exists", words):
        return (
            "the remote's refs stayed locked all the time, so nothing was changed here. A process "
            "of git that died there may have left the lock: whoever runs the server must remove "
            f"the file that it names. It says: {words}"
        )
    return (
        "other writers were first each time; nothing was changed here. Run the command again. "
        f"The last answer: {words}"
    )


def _server_lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not _NOISE.match(line.strip())]
    remote = [line for line in lines if line.startswith("remote:")]
    return remote or lines
