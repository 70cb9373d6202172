"""Ways out of an arm's work tree: variables and shared directories that lead to the checkout.

A trial that follows one runs the user's own checkout under both arms. Variables are turned
to the arm's work tree; shared directories that lead back are named.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Where CI systems say that the checkout is.
WORKSPACES = frozenset(
    (
        "GITHUB_WORKSPACE",
        "CI_PROJECT_DIR",  # GitLab
        "WORKSPACE",  # Jenkins
        *("BUILD_SOURCESDIRECTORY", "BUILD_REPOSITORY_LOCALPATH"),  # Azure
        "SYSTEM_DEFAULTWORKINGDIRECTORY",
        "BUILDKITE_BUILD_CHECKOUT_PATH",
        "CIRCLE_WORKING_DIRECTORY",
        "TRAVIS_BUILD_DIR",
        "BITBUCKET_CLONE_DIR",
        *("DRONE_WORKSPACE", "CI_WORKSPACE"),  # Drone, Woodpecker
        "TEAMCITY_BUILD_CHECKOUTDIR",
        *("APPVEYOR_BUILD_FOLDER", "CODEBUILD_SRC_DIR", "CIRRUS_WORKING_DIR", "CM_BUILD_DIR"),
        *("SEMAPHORE_GIT_DIR", "GO_WORKING_DIR", "bamboo_build_working_directory"),
        *(
            "INIT_CWD",
            "npm_config_local_prefix",
            "PROJECT_CWD",
        ),
    )
)
_SCAN_LIMIT = 200_000  # entries of one shared directory
_TEXT_BYTES = 1_000_000
# Files that make an installation lead to a source tree: pip, setuptools, CMake.
_POINTERS = re.compile(r".*\.(pth|egg-link)|direct_url\.json|__editable__.*\.py|CMakeCache\.txt")


def turned(environment: Mapping[str, str], checkout: Path, root: Path) -> dict[str, str]:
    """The environment with paths into `checkout` leading to the same place below `root`.

    Workspace variables always; any other, such as PATH or PYTHONPATH, where the arm's work
    tree has such a file. What lies beside the checkout stays.
    """
    if root == checkout:
        return dict(environment)
    return {name: _turned(name, value, checkout, root) for name, value in environment.items()}


def _turned(name: str, value: str, checkout: Path, root: Path) -> str:
    if name in WORKSPACES:
        return _moved(str(Path(value).expanduser()), checkout, root, must_exist=False)
    parts = value.split(os.pathsep)
    return os.pathsep.join(_moved(part, checkout, root, must_exist=True) for part in parts)


def _moved(text: str, checkout: Path, root: Path, *, must_exist: bool) -> str:
    if not text.startswith("/"):
        return text
    path = Path(os.path.realpath(text)) if not must_exist else Path(os.path.normpath(text))
    for base in (checkout, checkout.resolve()):
        if path.is_relative_to(base):
            target = root / path.relative_to(base)
            return str(target) if target.exists() or not must_exist else text
    if not must_exist and path == checkout.resolve().parent:
        # The checkout is a directory of the workspace; an arm's has the same name.
        _link_siblings(checkout.resolve(), root)
        return str(root.parent)
    return text


def _link_siblings(checkout: Path, root: Path) -> None:
    """What lies beside the checkout lies beside the arm's work tree too."""
    for entry in checkout.parent.iterdir():
        link = root.parent / entry.name
        if entry != checkout and not os.path.lexists(link):
            link.symlink_to(entry)


@dataclass(frozen=True)
class WayBack:
    """Something shared that leads into the user's checkout: what, and where to."""

    shared: str
    entry: str
    target: str

    def covers(self, varied: Collection[str]) -> bool:
        """Whether an arm's file can be reached by it."""
        prefix = "" if self.target == "." else self.target + "/"
        return any(path == self.target or path.startswith(prefix) for path in varied)

    def __str__(self) -> str:
        place = "the checkout itself" if self.target == "." else self.target
        return f"{self.entry} leads back to {place}"


def all_ways_back(
    checkout: Path, shared: Sequence[str], environment: Mapping[str, str]
) -> Iterator[WayBack]:
    """Ways back through shared directories, and through the environments that are active."""
    tops = {name: checkout / name for name in shared}
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if (place := environment.get(variable, "")) and Path(place) not in tops.values():
            tops[f"${variable}"] = Path(place)
    for name, top in tops.items():
        yield from ways_back(checkout, name, top)


def describe(ways: Iterable[WayBack]) -> list[str]:
    """A warning for each shared directory."""
    first: dict[str, list[WayBack]] = {}
    for way in ways:
        first.setdefault(way.shared, []).append(way)
    return [
        f"{name}: {', '.join(str(way) for way in own[:3])}{' and more' if len(own) > 3 else ''}; "
        "what a run reaches that way is the checkout's own file under every arm. Install it in "
        "`setup:` instead, or use --in-place"
        for name, own in first.items()
    ]


def ways_back(checkout: Path, shared: str, top: Path) -> Iterator[WayBack]:
    """Links and installations below `top` that lead to the checkout's own files."""
    if top.is_symlink():
        yield from _way(checkout, shared, top, top, Path(os.path.realpath(top)))
    for entry in itertools.islice(_entries(os.path.realpath(top)), _SCAN_LIMIT):
        path = Path(entry.path)
        if entry.is_symlink():
            yield from _way(checkout, shared, top, path, Path(os.path.realpath(path)))
        elif _POINTERS.fullmatch(entry.name):
            for target in _named(checkout, path):
                yield from _way(checkout, shared, top, path, target)


def _entries(top: str) -> Iterator[os.DirEntry[str]]:
    """Every file and link below `top`; links are not followed."""
    pending = [top]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    yield entry


def _way(checkout: Path, shared: str, top: Path, entry: Path, target: Path) -> Iterator[WayBack]:
    root = checkout.resolve()
    is_own = target.is_relative_to(top.resolve()) and entry != top
    if target.is_relative_to(root) and not is_own:
        inside = target.relative_to(root).as_posix()
        base = root if entry.is_relative_to(root) else checkout
        name = entry.relative_to(base).as_posix() if entry.is_relative_to(base) else str(entry)
        yield WayBack(shared, name, inside)


def _named(checkout: Path, file: Path) -> Iterator[Path]:
    """Paths below the checkout that a pointer file names."""
    try:
        with file.open("rb") as stream:
            text = stream.read(_TEXT_BYTES).decode(errors="replace")
    except OSError:
        return
    for base in {str(checkout), str(checkout.resolve())}:
        for match in re.finditer(re.escape(base) + r"(/[^\s'\"\\:;,)\]}]*)?(?![\w.-])", text):
            yield Path(os.path.realpath(match[0]))
    if file.suffix in (".pth", ".egg-link"):
        for line in text.splitlines():
            if line and not line.startswith(("import ", "#", "/")):
                yield Path(os.path.realpath(file.parent / line.strip()))
