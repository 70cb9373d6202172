"""What a reader of another tool's file returns, and the errors and names that readers share."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from expci.core.model.trial import Status
from expci.errors import InvalidRecord
from expci.runner import text_encoding

_NAME_LENGTH = 64  # of a metric, as a record may hold it


@dataclass(frozen=True)
class Run:
    """One run of the tool: its metrics by name, how it ended, and the unit if it has one."""

    metrics: Mapping[str, float]
    status: Status = "ok"
    unit: str | None = None


@dataclass(frozen=True)
class ToolRuns:
    """The runs of one file. `summary` holds metrics of the file as a whole, such as a median.

    `conditions` are what they ran with, such as the model.
    """

    runs: Sequence[Run]
    summary: Mapping[str, float] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)

    def as_one_trial(self) -> dict[str, float]:
        """Return the metrics of the file as one trial's: each metric's mean over the runs."""
        names = dict.fromkeys(name for run in self.runs for name in run.metrics)
        values = {name: [r.metrics[name] for r in self.runs if name in r.metrics] for name in names}
        means = {name: math.fsum(given) / len(given) for name, given in values.items()}
        return {**means, **self.summary}


def text_of(data: bytes) -> str:
    """Return the file's text. `InvalidRecord` where it is empty or not text."""
    text = text_encoding.decode(data)
    if not text.strip():
        raise InvalidRecord("it is empty")
    return text


def json_of(data: bytes) -> Any:
    """Return the file's JSON document. `InvalidRecord` where it is no JSON."""
    text = text_of(data)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRecord(f"it is not JSON: it begins {_excerpt(text)}") from error


def json_lines_of(text: str) -> list[Mapping[str, Any]] | None:
    """Return the objects of a text of JSON lines; `None` where a line is no JSON object."""
    objects: list[Mapping[str, Any]] = []
    for line in text.split("\n"):  # U+2028 and the like may stand within a string
        if line.strip():
            try:
                item = json.loads(line)
            except (ValueError, RecursionError):
                return None
            if not isinstance(item, dict):
                return None
            objects.append(item)
    return objects


def shape(document: Any) -> str:
    """Describe a document for an error: what it is, and the first keys of an object.

    >>> shape({"version": 3, "results": []}), shape([1, 2])
    ("an object with the keys 'version', 'results'", 'a list of 2 items')
    """
    if isinstance(document, dict):
        keys = ", ".join(repr(str(key)[:30]) for key in list(document)[:6])
        return f"an object with the keys {keys}" if keys else "an object without keys"
    if isinstance(document, list):
        return f"a list of {len(document)} items"
    return _excerpt(document) if isinstance(document, str) else json.dumps(document)[:60]


def finite_number(value: Any) -> float | None:
    """Return a finite number as a float; `None` for everything else.

    >>> finite_number(3), finite_number(True), finite_number("3"), finite_number(float("nan"))
    (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        converted = float(value)
    except OverflowError:
        return None
    return converted if math.isfinite(converted) else None


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the entries that are finite numbers.

    >>> numbers({"a": 1, "b": None})
    {'a': 1.0}
    """
    converted = {name: finite_number(value) for name, value in values.items()}
    return {name: value for name, value in converted.items() if value is not None}


def metric_name(*parts: str) -> str:
    """Join `parts` to a metric's name: other characters than letters, digits, `.`, `-` become `_`.

    >>> metric_name("BenchmarkJoin/small", "ns"), metric_name("test_sum[10]", "s")
    ('BenchmarkJoin_small_ns', 'test_sum_10_s')
    """
    words = [re.sub(r"[^A-Za-z0-9.-]+", "_", part).strip("_") for part in parts]
    name = "_".join(word for word in words if word)
    if not re.match(r"[A-Za-z_]", name):
        name = f"_{name}"
    end = f"_{words[-1]}" if len(words) > 1 else ""
    return name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - len(end)] + end


def distinct(metrics: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return named values as a mapping. `InvalidRecord` where two have one name."""
    named = dict(metrics)
    if len(named) < len(metrics):
        names = [name for name, _ in metrics]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRecord(f"two of its benchmarks give one metric name, {twice}: rename one")
    return named


def _excerpt(text: str) -> str:
    first = text.strip().splitlines()[0] if text.strip() else ""
    return repr(first[:60])
