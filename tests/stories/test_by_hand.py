"""What a person decides by hand rests on all that has arrived, and not against shown harm."""

from __future__ import annotations

import contextlib
import io
from typing import Any, cast

import pytest

from expci.cli.act import _say as say
from expci.core.lifecycle.transitions import State
from expci.errors import ExpciError
from expci.flows.verbs.analyze import analyze
from expci.flows.verbs.promote import promote
from expci.flows.verbs.rollback import rollback
from expci.flows.verbs.status import one_json
from support.stage import Stage


@pytest.mark.parametrize("force", [False, True])
def test_promote_refuses_harm_that_no_pass_has_folded(running: Stage, force: bool) -> None:
    running.pairs(30, 2.0)
    with pytest.raises(ExpciError, match="harm is shown") as refused:
        promote(running.context, "speed", force=force)
    assert "--force" not in str(refused.value)
    assert "expci rollback speed" in str(refused.value)
    assert running.life().state is State.RUNNING


def test_promote_sees_a_win_that_no_pass_has_folded(running: Stage) -> None:
    running.pairs(14, 0.5)
    assert promote(running.context, "speed").state == "promoting"
    opened = running.life().promote_opened
    assert opened is not None
    assert "forced" not in opened.why


def test_rollback_sees_harm_that_no_pass_has_folded(running: Stage) -> None:
    running.pairs(30, 2.0)
    assert rollback(running.context, "speed", reason="it is slower").state == "rolled_back"
    ended = running.life().ended
    assert ended is not None
    assert "forced" not in ended.why
    with pytest.raises(ExpciError, match="start it as a new plan") as refused:
        promote(running.context, "speed")
    assert "expci rollback" not in str(refused.value)  # it has ended


def test_status_tells_the_effects_of_the_analysis(running: Stage) -> None:
    running.pairs(14, 0.5)
    row = one_json(running.context, "speed")
    report = analyze(running.context, "speed")
    expected = [
        (metric.name, comparison.arm, comparison.improvement, list(comparison.interval or ()))
        for metric in report.analysis.metrics
        for comparison in metric.comparisons
    ]
    effects = cast("list[dict[str, Any]]", row["effects"])
    assert [
        (effect["metric"], effect["arm"], effect["improvement"], list(effect["interval"]))
        for effect in effects
    ] == expected
    assert effects[0]["unit"] == "s"
    assert effects[0]["improvement"] == pytest.approx(0.5, abs=0.05)  # by construction


def test_what_only_the_lab_ran_is_stopped_not_rolled_back(running: Stage) -> None:
    running.pairs(30, 2.0)
    done = running.auto()
    assert [event.word for _, event in done.events][-1] == "rolled_back"  # the stored word stays
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        say(done)
    assert "speed: stopped for harm" in text.getvalue()
    assert "speed: stopped · rollback" in text.getvalue()
    assert "rolled" not in text.getvalue()
