"""What the name of a metric says about its kind and direction."""

from __future__ import annotations

import pytest

from expci.core.model.metric_names import direction_of, kind_of


@pytest.mark.parametrize(
    ("name", "kind", "direction"),
    [
        ("duration_s", "duration", "decrease"),
        ("wait_ms", "duration", "decrease"),
        ("time_to_merge", "duration", "decrease"),
        ("success", "proportion", "increase"),
        ("max_rss_mb", "mean", "decrease"),
        ("binary_size", "mean", "decrease"),
        ("cost_usd", "mean", "decrease"),
        ("cost_per_run", "mean", "decrease"),
        ("error_count", "mean", "decrease"),
        ("errors", "mean", "decrease"),
        ("satisfaction", "mean", None),
        ("coverage", "mean", None),
        # a wrong guess would promote the worse arm
        ("requests_per_s", "mean", None),
        ("mb_per_s", "mean", None),
        ("throughput_mb", "mean", None),
        ("errors_found", "mean", None),
        ("time_saved_s", "duration", None),
        ("cost_savings", "mean", None),
    ],
)
def test_what_a_name_says(name: str, kind: str, direction: str | None) -> None:
    assert (kind_of(name), direction_of(name)) == (kind, direction)
