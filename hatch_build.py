"""What a package knows beyond its files: its commit and release, and where its links lead."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

HOME = "https://github.com/expci/expci"
BUILD = "expci/build.json"
_LINK = re.compile(r"(!?)(\[[^\]]*\])\(((?!#|https?:)[^)]+)\)")
_IMAGE = re.compile(r'(<img[^>]* src=")((?!https?:)[^"]+)"')


class LongDescription(MetadataHookInterface):
    """The README as the long description, with links that lead to the release's files."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text("utf-8")
        described = absolute(text, f"v{metadata['version']}")
        metadata["readme"] = {"content-type": "text/markdown", "text": described}


class Origin(BuildHookInterface[Any]):
    """Write `expci/build.json`: the commit that was built, and the release that it is, if any."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        text = origin(Path(self.root))
        if version == "editable" or text is None:
            return
        self._kept = tempfile.TemporaryDirectory()
        file = Path(self._kept.name) / "build.json"
        file.write_text(text, "utf-8")
        build_data["force_include"][str(file)] = BUILD

    def finalize(self, *_: object) -> None:
        if hasattr(self, "_kept"):
            self._kept.cleanup()


def absolute(text: str, tag: str) -> str:
    """`text` with its relative links and pictures made absolute, at the tag of a release."""
    raw = f"https://raw.githubusercontent.com/{HOME.removeprefix('https://github.com/')}/{tag}"

    def link(match: re.Match[str]) -> str:
        place = raw if match[1] else f"{HOME}/blob/{tag}"
        return f"{match[1]}{match[2]}({place}/{match[3]})"

    return _IMAGE.sub(rf'\1{raw}/\2"', _LINK.sub(link, text))


def origin(root: Path) -> str | None:
    """The text of `build.json`, a source archive's own; `None` where the tree is no commit."""
    if not (root / ".git").exists():
        file = root / BUILD
        return file.read_text("utf-8") if file.is_file() else None
    if _git(root, "status", "--porcelain") != "":
        return None  # what is built is no commit that anybody else could find
    tags = (_git(root, "tag", "--points-at", "HEAD") or "").split()
    releases = [tag for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)]
    commit = _git(root, "rev-parse", "HEAD")
    return json.dumps({"commit": commit, "release": releases[0] if releases else None}) + "\n"


def _git(root: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
