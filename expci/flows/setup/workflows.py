"""The workflows that `expci init` writes: jobs of expci's actions, pinned to one commit.

They use the actions directly, not reusable workflows: those of another owner get no
self-hosted or larger runner of the caller's (actions/runner#1671).

A last line with a hash of the rest tells a file that a person edited from one that an older
expci wrote. The first is never overwritten without being asked for, the second is.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path

from expci.core.model.limits import CRON, HOME
from expci.core.spec.yaml_document import Problem, read_document
from expci.errors import ExpciError, UsageError
from expci.flows.setup.built import built
from expci.flows.working_tree import read_text, refuse_links, repository_defaults

ENVIRONMENT = "expci-lab"  # whose secrets a lab with a key gets, and whose reviewers guard it
DIRECTORY = ".github/workflows"
NAMES = ("expci-validate", "expci-lab", "expci-pass")
SERVER = "https://github.com"  # unless the environment names another (GITHUB_SERVER_URL)
SITE = "expci-site"  # written where it is asked for

_HOME = re.compile(r"uses: ([\w.-]+/[\w.-]+)/\.github/(?:workflows|actions)/")
_OWNER_AND_NAME = re.compile(r"(?!\.)[\w.-]+/(?!\.)[\w.-]+")
_SECRET = re.compile(r"toJSON\(secrets\.(\w+)\)")
SECRET_NAME = re.compile(r"(?!GITHUB_)[A-Za-z_][A-Za-z0-9_]*")
_KEYLESS = {
    "INTRODUCTION": (
        "# expci: runs pairs of trials for experiments that run in the lab. The pass starts it on "
        "the\n# branch of each; a pull request from a fork starts it by itself."
    ),
    "PROPOSALS": (
        "  pull_request:\n    types: [opened, synchronize, reopened]\n    paths: @PATHS@"
    ),
    "PINNED": "",
    "ENVIRONMENT": "",
    "RIGHTS": "what is measured gets no other right, and no secret",
    "SECRETS": "",
}
_KEYED = {
    "INTRODUCTION": (
        "# expci: runs pairs of trials for experiments that run in the lab, with secrets that the\n"
        "# measured command alone gets. The pass starts it on the branch of each. It runs only\n"
        "# what somebody with write access started, at that very commit. Forks start nothing here."
    ),
    "PROPOSALS": "",
    "PINNED": "          pinned: true",
    "ENVIRONMENT": f"    environment: {ENVIRONMENT} # its reviewers and branches guard the secrets",
    "RIGHTS": "what is measured gets no other right",
    "SECRETS": (
        "          pinned: true\n          secrets: |\n            {\n@NAMES@\n            }"
    ),
}
_MARK = "# Written by `expci init`; run it again after an update of expci. Content: "
_PIN = re.compile(r"/\.github/(?:workflows|actions)/[\w.-]+@([0-9a-f]{40})\b")


class Status(StrEnum):
    """How a caller stands to the one that this expci would write.

    `OURS` was written by `init` and not touched since; `EDITED` was touched, and calls the
    wanted commit; `STALE` was touched, and calls another one.
    """

    MISSING = "missing"
    CURRENT = "current"
    OURS = "outdated"
    EDITED = "edited"
    STALE = "edited and outdated"


@dataclass(frozen=True)
class Caller:
    """One workflow file: its path, what stands there, and what should."""

    path: str
    current: str | None
    wanted: str
    status: Status

    @property
    def is_outdated(self) -> bool:
        return self.status in (Status.MISSING, Status.OURS, Status.STALE)

    @property
    def diff(self) -> str:
        """What writing it would change, as a unified diff; "" where nothing is there yet."""
        if self.current is None:
            return ""
        lines = difflib.unified_diff(
            self.current.splitlines(), self.wanted.splitlines(), self.path, self.path, lineterm=""
        )
        return "\n".join(lines) + "\n"


def callers(
    root: Path,
    pin: str,
    home: str | None = None,
    lab_secrets: Sequence[str] | None = None,
    *,
    site: bool = False,
) -> list[Caller]:
    """Each caller below `root` beside what it should be when pinned to the commit `pin`.

    `home` is the repository that holds the actions, `lab_secrets` names the secrets that lab trials
    get: given, else as the callers say that there are. With `site` the one that publishes the page
    is among them; it is also where it is there already.
    """
    refuse_links(root, DIRECTORY)
    require_home(home)
    defaults = repository_defaults(root)
    place = home or home_of(root)
    after = taking_part(root, place)
    keys = secrets_of(root) if lab_secrets is None else tuple(lab_secrets)
    names = (*NAMES, SITE) if site or (root / _path(SITE)).exists() else NAMES
    texts = {n: render(n, pin, defaults.roots, after, place, defaults.cron, keys) for n in names}
    return [_caller(root, name, text, pin) for name, text in texts.items()]


def require_home(home: str | None) -> None:
    """`UsageError` for a name that is no repository's."""
    if home is not None and not _OWNER_AND_NAME.fullmatch(home):
        raise UsageError(f"--home {home}: name a repository as OWNER/REPO, such as {HOME}")


def home_of(root: Path) -> str:
    """The repository whose actions the pass's caller uses; expci's own where there is none."""
    file = root / _path("expci-pass")
    text = read_text(file, _path("expci-pass")) if file.is_file() else ""
    match = _HOME.search(text) if isinstance(text, str) else None
    return match[1] if match else HOME


def secrets_of(root: Path) -> tuple[str, ...]:
    """The secrets that the lab's caller hands on; none where there is none."""
    file = root / _path("expci-lab")
    text = read_text(file, _path("expci-lab")) if file.is_file() else ""
    return tuple(dict.fromkeys(_SECRET.findall(text))) if isinstance(text, str) else ()


def secret_names(text: str) -> tuple[str, ...]:
    """Names of secrets separated by commas or spaces; `UsageError` for what names none."""
    names = tuple(dict.fromkeys(text.replace(",", " ").split()))
    for name in names:
        if not SECRET_NAME.fullmatch(name):
            raise UsageError(f"{name!r} names no secret: use letters, digits and _, not GITHUB_…")
    return names


def outdated(root: Path, pin: str, home: str | None = None) -> tuple[Caller, ...]:
    """The callers that `expci init` would write or offer to; for `init --check` and `doctor`."""
    return tuple(caller for caller in callers(root, pin, home) if caller.is_outdated)


def is_set_up(root: Path) -> bool:
    """Whether this repository has any of the callers."""
    return any((root / _path(name)).exists() for name in NAMES)


def render(
    name: str,
    pin: str,
    roots: Iterable[str],
    after: Iterable[str],
    home: str = HOME,
    cron: str = CRON,
    lab_secrets: Sequence[str] = (),
) -> str:
    """One caller's text. `after` names more workflows whose end starts the pass."""
    template = (
        resources.files("expci.flows.setup").joinpath(f"callers/{name}.yml").read_text("utf-8")
    )
    for mark, lines in (_KEYED if lab_secrets else _KEYLESS).items():
        template = template.replace(f"@{mark}@\n" if not lines else f"@{mark}@", lines)
    text = (
        template.replace("@NAMES@", _secret_lines(lab_secrets))
        .replace("@PATHS@", _list(_pattern(root) for root in roots))
        .replace("@AFTER@", _list([*NAMES[:2], *after]))
        .replace("@CRON@", json.dumps(cron))
        .replace("@HOME@", home)
        .replace("@PIN@", f"{pin}{_release(pin)}")
    )
    return f"{text}{_MARK}{_digest(text)}\n"


def _release(pin: str) -> str:
    """The release that `pin` is, as the comment by which Dependabot and people read a pin."""
    this = built()
    return f" # {this.release}" if this.release and this.commit == pin else ""


def _secret_lines(names: Iterable[str]) -> str:
    rows = (f'              "{n}": ${{{{ toJSON(secrets.{n}) }}}}' for n in names)
    return ",\n".join(rows)


def taking_part(root: Path, home: str = HOME) -> tuple[str, ...]:
    """Names of this repository's own workflows that use the actions of `home`, sorted."""
    ours = {_path(name) for name in (*NAMES, SITE)}
    files = sorted((root / DIRECTORY).glob("*.y*ml"))
    names = set()
    for file in files:
        path = f"{DIRECTORY}/{file.name}"
        text = read_text(file, path) if path not in ours else ""
        if isinstance(text, str) and f"{home}/.github/actions/" in text:
            names.add(_name(text, path))
    return tuple(sorted(names))


def _name(text: str, path: str) -> str:
    # A workflow without a name goes by its path.
    data = read_document(text, path).data
    name = data.get("name") if isinstance(data, dict) else None
    return name if isinstance(name, str) and name else path


def _caller(root: Path, name: str, wanted: str, pin: str) -> Caller:
    path = _path(name)
    current = _read_caller(root, path)
    return Caller(path, current, wanted, _status(current, wanted, pin))


def _read_caller(root: Path, path: str) -> str | None:
    if not (root / path).exists() and not (root / path).is_symlink():
        return None
    text = read_text(root / path, path)
    if isinstance(text, Problem):
        raise ExpciError(f"{text}; `expci init` writes this file")
    return text


def _status(current: str | None, wanted: str, pin: str) -> Status:
    if current is None:
        return Status.MISSING
    if current == wanted:
        return Status.CURRENT
    if _is_untouched(current):
        return Status.OURS
    return Status.EDITED if set(_PIN.findall(current)) == {pin} else Status.STALE


def _is_untouched(text: str) -> bool:
    body, mark, digest = text.rpartition(_MARK)
    return bool(mark) and digest.strip() == _digest(body)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _path(name: str) -> str:
    return f"{DIRECTORY}/{name}.yml"


def _pattern(root: str) -> str:
    return "**" if root in ("", ".") else f"{root}/**"


def _list(words: Iterable[str]) -> str:
    return json.dumps(list(dict.fromkeys(words)), ensure_ascii=False)
