"""Ways out of an arm's work tree: what leads a run to files that are not its arm's.

An editable installation, a link of npm's, a command that names the checkout: a run that follows
one sees the same files under every arm, and the experiment compares a thing with itself.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from expci.core.lazy_pattern import lazy_pattern
from expci.core.value_class import dataclass

_SCAN_LIMIT = 200_000  # entries of one shared directory
_TEXT_BYTES = 1_000_000
# Files that make an installation lead to a source tree: pip, setuptools, CMake.
_POINTERS = lazy_pattern(r".*\.(pth|egg-link)|direct_url\.json|__editable__.*\.py|CMakeCache\.txt")


# Where programs find what was installed for everybody or for the user, beside a `bin` on PATH.
_INSTALLED = ("lib/python3*/site-packages", "lib/python3*/dist-packages", "lib/node_modules")
_PYTHON = (".py", ".pyi", ".pyx", ".so")


@dataclass(frozen=True)
class WayBack:
    """Something that leads to files which every arm shares: what, where to, what to do.

    `tree` is the root of the checkout or work tree that it leads into, `target` the path in it.
    """

    shared: str
    entry: str
    target: str
    tree: Path
    remedy: str

    def covers(self, varied: Collection[str]) -> bool:
        """Whether an arm's file can be reached by it."""
        prefix = "" if self.target == "." else self.target + "/"
        return any(path == self.target or path.startswith(prefix) for path in varied)

    def __str__(self) -> str:
        place = "the checkout itself" if self.target == "." else self.target
        return f"{self.entry} leads back to {place}"


def all_ways_back(
    trees: Sequence[Path],
    shared: Sequence[str],
    environment: Mapping[str, str],
    varied: Collection[str],
) -> Iterator[WayBack]:
    """Yield the ways through shared directories, environments and what is installed.

    `trees` are the checkout and the work trees that they must not lead into. Of what is
    installed for all of the machine only that which an arm's file can be reached by.
    """
    checkout = trees[0]
    tops = {name: checkout / name for name in shared}
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if (place := environment.get(variable, "")) and Path(place) not in tops.values():
            tops[f"${variable}"] = Path(place)
    for name, top in tops.items():
        yield from ways_back(trees, name, top)
    done = [Path(os.path.realpath(top)) for top in tops.values()]
    for top in _installations(environment):
        read = _read_from(top, varied)
        if read and not any(top.is_relative_to(other) for other in done):
            ways = ways_back(trees, f"${top}", top, shallow=True)
            yield from (way for way in ways if way.covers(read))


def _read_from(top: Path, varied: Collection[str]) -> list[str]:
    """Return the arms' files that a program which looks in `top` may come to."""
    is_python = top.name != "node_modules"
    return [path for path in varied if not is_python or path.endswith(_PYTHON)]


def _installations(environment: Mapping[str, str]) -> Iterator[Path]:
    """Directories with packages that the programs on PATH read."""
    bins = [Path(part) for part in environment.get("PATH", "").split(os.pathsep) if part]
    prefixes = [path.parent for path in bins if path.is_absolute()]
    prefixes.append(Path(environment.get("PYTHONUSERBASE") or _home(environment) / ".local"))
    tops: dict[Path, None] = {}
    for prefix in dict.fromkeys(prefixes):
        for pattern in _INSTALLED:
            with contextlib.suppress(OSError):
                tops |= {Path(os.path.realpath(top)): None for top in prefix.glob(pattern)}
    yield from tops


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("HOME") or "/nonexistent")


def in_own_directories(trees: Sequence[Path], root: Path) -> Iterator[WayBack]:
    """Yield the ways out of what a setup left in an arm's work tree `root`."""
    for entry in sorted(root.iterdir()):
        if entry.is_dir() and not entry.is_symlink() and entry.name != ".git":
            yield from ways_back(trees, entry.name, entry)


def not_in_force(ways: Sequence[WayBack]) -> str:
    """Return what makes a trial compare a thing with itself, and the remedy."""
    more = f" (and {len(ways) - 1} more)" if len(ways) > 1 else ""
    return (
        f"no arm would be in force, so nothing is run: {ways[0]}{more}, and every arm would use "
        f"the same files of it. To change that, {ways[0].remedy}, or use --in-place"
    )


def describe(ways: Iterable[WayBack]) -> list[str]:
    """A warning for each shared directory."""
    first: dict[str, list[WayBack]] = {}
    for way in ways:
        first.setdefault(way.shared, []).append(way)
    return [
        f"{name}: {', '.join(str(way) for way in own[:3])}{' and more' if len(own) > 3 else ''}; "
        f"what a run reaches that way is the same file under every arm. To change that, "
        f"{own[0].remedy}, or use --in-place"
        for name, own in first.items()
    ]


def ways_back(
    trees: Sequence[Path], shared: str, top: Path, *, shallow: bool = False
) -> Iterator[WayBack]:
    """Yield the links and installations below `top` that lead into one of `trees`.

    `shallow` looks only where package managers write them.
    """
    if top.is_symlink():
        yield from _way(trees, shared, top, top, Path(os.path.realpath(top)))
    real = os.path.realpath(top)
    for entry in itertools.islice(_entries(real, shallow=shallow), _SCAN_LIMIT):
        path = Path(entry.path)
        if entry.is_symlink():
            yield from _way(trees, shared, top, path, Path(os.path.realpath(path)))
        elif _POINTERS.fullmatch(entry.name):
            for target in _named(trees, path):
                yield from _way(trees, shared, top, path, target)


def _entries(top: str, *, shallow: bool) -> Iterator[os.DirEntry[str]]:
    """Every file and link below `top`; links are not followed."""
    pending = [top]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    yield entry
                elif not shallow or entry.name.startswith("@") or entry.name.endswith("-info"):
                    pending.append(entry.path)


def _way(
    trees: Sequence[Path], shared: str, top: Path, entry: Path, target: Path
) -> Iterator[WayBack]:
    if target.is_relative_to(top.resolve()) and entry != top:
        return
    for tree in trees:
        root = tree.resolve()
        if target.is_relative_to(root):
            inside = target.relative_to(root).as_posix()
            yield WayBack(shared, _short(entry, trees[0]), inside, tree, _remedy(shared))
            return


def _short(entry: Path, checkout: Path) -> str:
    for base in (checkout.resolve(), checkout):
        if entry.is_relative_to(base):
            return entry.relative_to(base).as_posix()
    return str(entry)


def _remedy(shared: str) -> str:
    if shared.startswith("$"):
        return (
            "install it again in `setup:`, in an environment of the work tree's own that `run:` "
            "uses (`python3 -m venv .venv && .venv/bin/pip install -e .`)"
        )
    return f"leave {shared} out of `share:` and install it in `setup:`"


def _named(trees: Sequence[Path], file: Path) -> Iterator[Path]:
    """Yield the paths below `trees` that a pointer file names."""
    try:
        with file.open("rb") as stream:
            text = stream.read(_TEXT_BYTES).decode(errors="replace")
    except OSError:
        return
    for tree in trees:
        yield from _paths_in(tree, text)
    if file.suffix in (".pth", ".egg-link"):
        for line in text.splitlines():
            if line and not line.startswith(("import ", "#", "/")):
                yield Path(os.path.realpath(file.parent / line.strip()))


def _paths_in(tree: Path, text: str) -> Iterator[Path]:
    for base in {str(tree), str(tree.resolve())}:
        for match in re.finditer(re.escape(base) + r"(/[^\s'\"\\:;,)\]}]*)?(?![\w.-])", text):
            path = Path(os.path.realpath(match[0]))
            if path.is_relative_to(tree.resolve()):
                yield path
