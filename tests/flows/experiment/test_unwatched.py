"""What a report alone would not tell: days in which no pass ran, and records that wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

from expci.core.model.trial import timestamp
from expci.flows.auto.auto import auto
from expci.flows.lookup import waiting_words
from expci.flows.verbs.site import site
from expci.store.inbox import send
from support.hub_bench import HubBench, bench, template
from support.hub_stage import HubStage
from support.ledger_samples import TRIAL

__all__ = ["bench", "template"]

IN_COMMENT = "**⚠️ No pass ran for 3 days before this one**: nothing was decided in that time"
ON_PAGE = "<strong>No pass has run for 3 days</strong>: nothing is decided"


def test_days_without_a_pass_and_waiting_records_are_said(bench: HubBench, tmp_path: Path) -> None:
    stage = HubStage.of(bench)
    stage.random = Random(5)
    number = stage.request()
    stage.says(number, "ada", "/expci start")
    assert auto(stage.context).problems == []
    stage.pairs(2, 1.0)
    assert auto(stage.context).problems == []
    batch = send.encode([replace(TRIAL, plan="cd" * 32, started=timestamp(stage.now)).line()])
    send.send(stage.context.store.remote, "speed", batch)

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
    assert f"**{waiting_words({'control': 1})}.**" in comment()
    assert "No pass" not in page(), "one has run"
    stage.now += timedelta(hours=1)
    assert auto(stage.context).problems == []
    assert "No pass" not in comment()
