"""What the package was built from: `build.json`, which `hatch_build.py` puts into every wheel."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Built:
    """The commit that a wheel was built from, and its tag if it is a release; else `None`."""

    commit: str | None = None
    release: str | None = None


def built() -> Built:
    """What this package was built from; nothing in a checkout, whose HEAD says it better."""
    try:
        data = json.loads(resources.files("expci").joinpath("build.json").read_text("utf-8"))
    except (OSError, ValueError):
        return Built()
    commit, release = (data.get(key) for key in ("commit", "release"))
    if not (isinstance(commit, str) and re.fullmatch(r"[0-9a-f]{40}", commit)):
        return Built()
    return Built(commit, release if isinstance(release, str) else None)
