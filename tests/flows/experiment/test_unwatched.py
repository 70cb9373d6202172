"""Days in which no pass ran are said where people look: in the comment, and on the page."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random

from expci.flows.auto.auto import auto
from expci.flows.verbs.site import site
from support.hub_bench import HubBench, bench, template
from support.hub_stage import HubStage

__all__ = ["bench", "template"]

IN_COMMENT = "**⚠️ No pass ran for 3 days before this one**: nothing was decided in that time"
ON_PAGE = "<strong>No pass has run for 3 days</strong>: nothing is decided"


def test_days_without_a_pass_are_said(bench: HubBench, tmp_path: Path) -> None:
    stage = HubStage.of(bench)
    stage.random = Random(5)
    number = stage.request()
    stage.says(number, "ada", "/expci start")
    assert auto(stage.context).problems == []
    stage.pairs(2, 1.0)
    assert auto(stage.context).problems == []

    def page() -> str:
        site(stage.context, tmp_path / "page")
        return (tmp_path / "page" / "index.html").read_text()

    def comment() -> str:
        return "".join(bench.comments(number))

    assert "No pass" not in comment()
    assert "No pass" not in page()
    stage.now += timedelta(days=3, hours=1)
    stage.pairs(1, 1.0)
    assert ON_PAGE in page()
    assert auto(stage.context).problems == []
    assert IN_COMMENT in comment()
    assert "No pass" not in page(), "one has run"
    stage.now += timedelta(hours=1)
    assert auto(stage.context).problems == []
    assert "No pass" not in comment()
