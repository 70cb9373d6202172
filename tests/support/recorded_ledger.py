"""A repository as an earlier version left it: `tests/fixtures/ledger/README.md` says how."""

from __future__ import annotations

import json
import lzma
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from expci.core.model.trial import parse_timestamp
from support.repositories import Repository, git

FIXTURE = Path(__file__).parents[1] / "fixtures" / "ledger"
# What is said to people may be said better; numbers, states and codes may not change.
WORDS = frozenset({"why", "detail", "notes", "reasons", "next", "rule", "version", "problem"})


def golden() -> dict[str, Any]:
    """What that version said of its own ledger."""
    document: dict[str, Any] = json.loads((FIXTURE / "golden.json").read_text())
    return document


def recorded_at() -> datetime:
    """When it was asked."""
    return parse_timestamp(golden()["at"])


def restore(directory: Path) -> Repository:
    """The repository, with its bare origin, below `directory`."""
    origin = directory / "work.git"
    git(directory, "init", "-q", "--bare", str(origin))
    stream = lzma.decompress((FIXTURE / "repository.fast-export.xz").read_bytes())
    command = ["git", "fast-import", "--quiet", "--date-format=raw-permissive"]
    subprocess.run(command, cwd=origin, input=stream, check=True)
    git(directory, "clone", "-q", str(origin), "work")
    return Repository(directory / "work", origin)


def without_words(value: Any) -> Any:
    """A document without what is only for people."""
    if isinstance(value, Mapping):
        return {key: without_words(item) for key, item in value.items() if key not in WORDS}
    if isinstance(value, list | tuple):
        return [without_words(item) for item in value]
    return value


def differences(expected: Any, actual: Any, path: str = "") -> list[str]:
    """Where `actual` lacks or contradicts what was recorded; new keys are no contradiction."""
    if isinstance(expected, Mapping):
        if not isinstance(actual, Mapping):
            return [f"{path}: {actual!r} is no mapping"]
        missing = [f"{path}.{key}: gone" for key in expected if key not in actual]
        kept = (key for key in expected if key in actual)
        return missing + [
            line
            for key in kept
            for line in differences(expected[key], actual[key], f"{path}.{key}")
        ]
    if isinstance(expected, list):
        if not isinstance(actual, list | tuple) or len(expected) != len(actual):
            return [f"{path}: {expected!r} became {actual!r}"]
        pairs = enumerate(zip(expected, actual, strict=True))
        return [line for i, (old, new) in pairs for line in differences(old, new, f"{path}[{i}]")]
    return [] if _alike(expected, actual) else [f"{path}: {expected!r} became {actual!r}"]


def _alike(expected: Any, actual: Any) -> bool:
    if isinstance(expected, float) and isinstance(actual, int | float):
        return bool(abs(expected - actual) <= 1e-6 * max(1e-6, abs(expected)))
    return bool(expected == actual)
