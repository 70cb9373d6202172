"""What promoted changes save, added up: cautious ends, corrected and as measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expci.core.lifecycle.transitions import State
from expci.core.model.experiment import Limit
from expci.core.model.results import Analysis, Comparison
from expci.report.documents import render
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.sections.savings import hours_saved, money_saved, past_prior
from support import report_samples as samples
from support.cauchy_prior import posterior_mean

EFFECT = Limit(0.15, relative=True)


def promotion(difference: float, error: float | None, ends: tuple[float, float]) -> Analysis:
    """A win by that many seconds of control's 12.3, of 1,000 runs a month."""
    comparison = samples.comparison(
        -difference / 12.3, None, difference, ends, difference_error=error, improvement_error=0.04
    )
    made = samples.analysis()
    progress = replace(
        made.progress,
        hours_saved_per_month=(-ends[1] / 3.6, -difference / 3.6),
        runs_per_month=1000.0,
    )
    return replace(made, metrics=(samples.duration(comparisons=(comparison,)),), progress=progress)


def row(name: str, promoted: Analysis) -> PortfolioRow:
    experiment = samples.experiment()
    primary = replace(experiment.primary, minimum_effect=EFFECT)
    others = tuple(m for m in experiment.metrics if m.role != "primary")
    life = samples.lives()["promoted"]
    assert life.state == State.PROMOTED
    return PortfolioRow(
        name, replace(experiment, metrics=(primary, *others)), life, None, promotion=promoted
    )


def control_mean() -> float:
    mean = samples.duration().arms["control"].mean
    assert mean is not None
    return mean


def corrected(seconds: float, error: float) -> float:
    """By quadrature: a prior with the scale .4 of 15 % of control's mean."""
    return posterior_mean(seconds, error, 0.4 * 0.15 * control_mean())


def test_corrected_hours_add_up_beside_what_was_measured() -> None:
    rows = [
        row("a", promotion(-3.6, 0.5, (-5.0, -1.8))),
        row("b", promotion(-1.8, 0.9, (-3.6, -0.36))),
    ]
    total = hours_saved(rows)
    assert total.as_measured == pytest.approx(1.5)
    assert total.value == pytest.approx((corrected(3.6, 0.5) + corrected(1.8, 0.9)) / 3.6, rel=1e-5)
    assert total.low == pytest.approx(0.5 + 0.1)  # the ends towards no effect stay
    assert (total.changes, total.corrected, total.prior.experiments) == (2, 2, 0)
    text = render.status_report(rows, all=True)
    words = " ".join(text.split())
    assert "(2 promoted changes, cautious ends added up; 1.3 h when corrected" in words
    assert "for the winner's curse by the effects that were planned, 1.5 h as measured)" in words


def test_what_has_no_standard_error_counts_as_measured() -> None:
    total = hours_saved(
        [
            row("a", promotion(-3.6, 0.5, (-5.0, -1.8))),
            row("old", promotion(-3.6, None, (-5.0, -1.8))),
        ]
    )
    assert (total.changes, total.corrected) == (2, 1)
    assert total.value == pytest.approx(corrected(3.6, 0.5) / 3.6 + 1.0, rel=1e-5)


def test_five_decided_experiments_say_how_large_effects_are() -> None:
    """Whichever way they were decided; four say nothing yet."""
    small = samples.comparison(0.01, None, None, None, improvement_error=0.02)
    stopped = replace(
        samples.analysis("stop", "no_effect"), metrics=(samples.duration(comparisons=(small,)),)
    )
    ended = samples.lives()["stopped"]
    past = [
        replace(row(f"s{i}", stopped), life=ended, analysis=stopped, promotion=None)
        for i in range(4)
    ]
    assert past_prior(past).experiments == 0
    prior = past_prior([*past, row("w", promotion(-3.6, 0.5, (-5.0, -1.8)))])
    assert prior.experiments == 5
    undecided = replace(past[0], analysis=samples.collecting())
    assert past_prior([*past, undecided]).experiments == 0


def in_dollars(comparison: Comparison) -> Analysis:
    metric = samples.duration(name="cost_usd", kind="mean", comparisons=(comparison,))
    made = samples.analysis()
    return replace(made, metrics=(metric,), progress=replace(made.progress, runs_per_month=100.0))


def test_money_is_corrected_too() -> None:
    cheaper = samples.comparison(0.2, None, -2.0, (-3.0, -1.0), difference_error=1.0)
    total = money_saved([row("m", in_dollars(cheaper))])["USD"]
    assert total.low == pytest.approx(100.0)
    assert total.as_measured == pytest.approx(200.0)
    assert total.value == pytest.approx(100.0 * corrected(2.0, 1.0), rel=1e-5)
