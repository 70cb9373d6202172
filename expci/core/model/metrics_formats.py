"""The tools whose files `metrics_from` and `record --format` read."""

from __future__ import annotations

from typing import Literal, get_args

MetricsFormat = Literal[
    "hyperfine", "pytest-benchmark", "junit", "go-bench", "criterion", "claude", "promptfoo"
]
FORMATS: tuple[MetricsFormat, ...] = get_args(MetricsFormat)
