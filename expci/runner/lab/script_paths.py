"""Ways out of an arm's work tree that the scripts of a run name.

The command's own words, the scripts that it names and those that these name, manifests of
package managers, and programs that PATH has as links: an absolute path into the checkout in one of
them is the same file under every arm.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from expci.core.lazy_pattern import lazy_pattern
from expci.runner.lab.ways_back import WayBack

_MOST_SCRIPTS, _MOST_WORDS, _SCRIPT_BYTES = 50, 5_000, 200_000
_MANIFESTS = (
    *("go.mod", "go.work", "Cargo.toml", ".cargo/config.toml", "package.json", "pyproject.toml"),
    *("Pipfile", "requirements.txt", "requirements-dev.txt", "CMakeLists.txt", "compose.yaml"),
)
_ABSOLUTE = lazy_pattern(r"(?<![\w.$}~/-])/[^\s'\"\\:;,)(\]}|&<>`]+")
_COMMENT = lazy_pattern(r"\s*(#(?!!)|//)")
_WORD = lazy_pattern(r"[\w./@+-]+")
_RELATIVE = "write the path relative to the repository"


def in_scripts(
    checkout: Path, root: Path, command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[WayBack]:
    """Yield the files of `checkout` that a run in the arm's work tree `root` is led to by name.

    `environment` is the arm's, whose PATH tells which programs are run.
    """
    text, base = "\n".join(command), checkout.resolve()
    for named in _ABSOLUTE.findall(text):
        yield from _way("the command", f"the command's {named}", named, base)
    for word in dict.fromkeys(_WORD.findall(text)):
        program = None if "/" in word else shutil.which(word, path=environment.get("PATH", ""))
        if program is not None and Path(program).is_symlink():
            yield from _way("PATH", f"{program}, which is `{word}` on PATH,", program, base)
    for name, content in _scripts(root, text):
        for named in _ABSOLUTE.findall(content):
            yield from _way(name, f"{named} in {name}", named, base)


def _way(shared: str, entry: str, path: str, checkout: Path) -> Iterator[WayBack]:
    target = Path(os.path.realpath(path))
    if target.is_relative_to(checkout) and target.exists():
        inside = target.relative_to(checkout).as_posix()
        remedy = "call it by its path in the repository" if shared == "PATH" else _RELATIVE
        yield WayBack(shared, entry, inside, checkout, remedy)


def _scripts(root: Path, text: str) -> Iterator[tuple[str, str]]:
    """The text files of the work tree that the command names, and those that they name."""
    pending = deque([*_MANIFESTS, *_WORD.findall(text)])
    tried: set[str] = set()
    scripts = 0
    while pending and scripts < _MOST_SCRIPTS and len(tried) < _MOST_WORDS:
        name = os.path.normpath(pending.popleft())
        content = None if name in tried else _text(root, name)
        tried.add(name)
        if content is not None:
            scripts += 1
            yield name, content
            words = _WORD.findall(content) if name not in _MANIFESTS else []
            beside = Path(name).parent
            pending += [place for word in words for place in (word, str(beside / word))]


def _text(root: Path, name: str) -> str | None:
    """A script's text; `None` for what is no text file of the work tree."""
    path = root / name
    try:
        is_script = path.is_file() and path.resolve().is_relative_to(root.resolve())
        if not is_script or path.stat().st_size > _SCRIPT_BYTES:
            return None
        data = path.read_bytes()
    except (OSError, ValueError):
        return None
    if b"\0" in data:
        return None
    lines = data.decode(errors="replace").splitlines()
    return "\n".join(line for line in lines if not _COMMENT.match(line))
