"""A unit that the plan states stands beside every value of its metric."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expci.core.analysis.document import analysis_document, dump_analysis, load_analysis
from expci.core.model.results import Analysis
from expci.report.documents import render
from support import report_samples


def in_unit(unit: str | None) -> Analysis:
    """The sample analysis with a primary metric whose name says nothing of its unit."""
    sample = report_samples.analysis()
    metrics = tuple(
        replace(metric, name="throughput", kind="mean", unit=unit)
        if metric.role == "primary"
        else metric
        for metric in sample.metrics
    )
    return replace(sample, metrics=metrics)


def reports(analysis: Analysis) -> list[str]:
    primary = replace(
        report_samples.DURATION, name="throughput", kind="mean", unit=analysis.primary.unit
    )
    _, *rest = report_samples.experiment().metrics
    experiment = report_samples.experiment(metrics=(primary, *rest))
    life = report_samples.life()
    return [
        render.analysis_screen(experiment, life, analysis),
        render.analysis_report(experiment, life, analysis),
        render.analysis_report(experiment, life, analysis, "markdown"),
        render.comment(experiment, life, analysis, base_branch="main"),
        render.status_one(experiment, life, analysis),
    ]


@pytest.mark.parametrize("number", range(5))
def test_every_report_says_the_unit(number: int) -> None:
    assert "MB/s" in reports(in_unit("MB/s"))[number].replace("\N{NO-BREAK SPACE}", " ")
    assert "MB/s" not in reports(in_unit(None))[number]


def test_the_document_says_it_and_is_silent_without_one() -> None:
    stated = analysis_document(in_unit("MB/s"))["metrics"]
    assert stated[0]["unit"] == "MB/s"
    assert all("unit" not in metric for metric in analysis_document(in_unit(None))["metrics"])
    assert load_analysis(dump_analysis(in_unit("MB/s"))) == in_unit("MB/s")
