"""`plan`: the design report from what the repository holds, and the questions it answers."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from expci.core.model.experiment import Limit, PlanRules
from expci.errors import ExpciError
from expci.flows.verbs.plan import parse_effect, plan
from expci.store.local.pilot import append_pilot
from support.command import expci_command
from support.repositories import Repository
from support.specimen import SPEC
from support.stage import Stage

BASELINE = SPEC.replace(
    "minimum_effect: 15%}", "minimum_effect: 15%, baseline: {mean: 12, sd: 1.8}}"
).replace("  sample_size: 60\n", "")


@pytest.fixture
def stage(repository: Repository) -> Stage:
    return Stage(repository)


def pilot_file(path: Path, count: int = 16) -> Path:
    lines = [
        {"arm": "control", "metrics": {"duration_s": 12 + (7 * i % 16) / 8}} for i in range(count)
    ]
    target = path / "pilot.jsonl"
    target.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return target


def test_a_stated_baseline_is_enough_for_the_whole_report(stage: Stage) -> None:
    stage.propose(spec=BASELINE)
    report = plan(stage.context, "speed").report
    assert report.sample_size.basis == "baseline"
    size = report.sample_size.per_arm
    assert size is not None
    assert size >= (report.sample_size.computed or size + 1)
    hoped = report.operating_characteristics[1]
    assert hoped.promote >= 0.78
    assert hoped.trials_median < hoped.trials_p90 <= size


def test_pilot_then_history_tell_more_than_nothing(stage: Stage, tmp_path: Path) -> None:
    stage.propose()
    assert plan(stage.context, "speed").report.operating_characteristics == ()
    by_file = plan(stage.context, "speed", pilot_file=pilot_file(tmp_path)).report
    assert by_file.sample_size.basis == "pilot"
    assert by_file.trials_per_day is None
    stage.start()
    stage.pairs(12, 1.0)
    stage.auto()
    stage.now += timedelta(days=1)  # the pace of the first minutes is no rate
    planned = plan(stage.context, "speed", experiments=300)
    assert planned.is_current
    assert planned.look
    by_history = planned.report
    assert by_history.trials_per_day == pytest.approx(23.0)  # 24 trials, the first opens the day
    rows = by_history.operating_characteristics
    assert [row.experiments for row in rows] == [300] * 5  # the last of them breaks `success`
    # 5 % noise in pairs: an effect of 15 % is found as soon as anything may be promoted
    assert by_history.operating_characteristics[1].promote > 0.95
    assert by_history.operating_characteristics[1].trials_median == 10


def test_a_pilot_too_small_to_simulate_is_told_so(stage: Stage, tmp_path: Path) -> None:
    stage.propose()
    few = tmp_path / "few.jsonl"
    lines = (
        json.dumps({"arm": arm, "block": str(pair), "metrics": {"duration_s": 12 + pair}})
        for pair in range(2)
        for arm in ("control", "treatment")
    )
    few.write_text("\n".join(lines))
    report = plan(stage.context, "speed", pilot_file=few).report
    assert report.operating_characteristics == ()
    assert any("record 3 or more" in advice for advice in report.advice), report.advice


def test_a_hopeless_plan_is_told_what_would_do(stage: Stage) -> None:
    stage.propose(
        spec=BASELINE.replace("min_trials: 10", "sample_size: 10").replace("15%", "10%", 1)
    )
    report = plan(stage.context, "speed").report
    needed = report.sample_size.needed
    assert any(f"It takes {needed}" in line and "10 pairs" in line for line in report.advice)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10%", Limit(0.1, True)),
        ("-5%", Limit(-0.05, True)),
        ("−5 %", Limit(-0.05, True)),
        ("+0.3", Limit(0.3, False)),
        (".5", Limit(0.5, False)),
    ],
)
def test_effects_are_read_with_their_sign(text: str, limit: Limit) -> None:
    assert parse_effect(text) == limit


@pytest.mark.parametrize("text", ["", "ten", "10%%", "1e9", "--5%", "nan", "5 points"])
def test_other_words_are_no_effects(text: str) -> None:
    with pytest.raises(ValueError, match="write 10%"):
        parse_effect(text)


def test_an_effect_that_cannot_be_is_refused(stage: Stage) -> None:
    stage.propose(spec=BASELINE)
    with pytest.raises(ExpciError, match="less than 100%"):
        plan(stage.context, "speed", effects=[Limit(1.0, True)])


def expci(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    return expci_command(Path(), *arguments, "-C", str(stage.repository.path))


def test_other_questions_on_the_command_line(stage: Stage) -> None:
    stage.propose(spec=BASELINE)
    asked = ["plan", "speed", "--simulate", "400", "--effect", "-30%", "--effect", "10%"]
    text = expci(stage, *asked)
    assert (text.returncode, text.stderr) == (0, "")
    assert "harm of 30%" in text.stdout
    assert "an improvement of 10%" in text.stdout
    assert "WHAT EACH INFERENCE NEEDS" in text.stdout
    assert "this plan" in text.stdout
    document = json.loads(expci(stage, *asked, "--json").stdout)
    needs = {row["inference"]: row for row in document["inferences"]}
    assert set(needs) == {"fixed", "group-sequential", "anytime"}
    assert set(needs["fixed"]) == {"inference", "sample_size", "trials_mean", "chosen"}
    rows = document["operating_characteristics"]
    assert [row["scenario"] for row in rows[-2:]] == ["effect", "effect"]
    assert rows[-2]["promote"] == 0
    assert {row["experiments"] for row in rows} == {400}
    wrong = expci(stage, "plan", "speed", "--effect", "big")
    assert wrong.returncode == 2
    assert "10%" in wrong.stderr


def test_the_start_freezes_the_size_that_the_baseline_asks_for(repository: Repository) -> None:
    spec = SPEC.replace("  sample_size: 60\n", "").replace(
        "minimum_effect: 15%}", "minimum_effect: 15%, baseline: {mean: 12, sd: 1.8}}"
    )
    stage = Stage(repository)
    stage.begin(spec=spec)
    started = stage.life().started
    assert started is not None
    planned = plan(stage.context, "speed").report.sample_size.per_arm
    assert started.sample_size == planned
    assert planned is not None
    assert planned > 10


def test_the_start_freezes_what_auto_became(repository: Repository) -> None:
    stage = Stage(repository)
    stage.begin(spec=BASELINE)
    frozen = ledger_plan(stage)
    assert (frozen.inference, frozen.inference_basis) == ("group-sequential", "computed_size")
    started = stage.life().started
    assert started is not None
    assert frozen.sample_size == started.sample_size


@pytest.mark.parametrize(
    ("spec", "inference", "basis"),
    [
        (SPEC, "group-sequential", "stated_size"),
        (SPEC.replace("  sample_size: 60\n", ""), "anytime", "no_size"),
        (BASELINE.replace("min_trials: 10", "sample_size: 25"), "group-sequential", "stated_size"),
        # By the noncentral t 16 pairs are enough: at 200 the first looks may spend nothing.
        (BASELINE.replace("min_trials: 10", "sample_size: 200"), "anytime", "ample_size"),
        (f"{BASELINE}  inference: anytime\n", "anytime", "stated"),
    ],
)
def test_the_frozen_plan_names_its_inference_and_why(
    repository: Repository, spec: str, inference: str, basis: str
) -> None:
    stage = Stage(repository)
    stage.begin(spec=spec)
    frozen = ledger_plan(stage)
    assert (frozen.inference, frozen.inference_basis) == (inference, basis)


def test_a_pilot_tells_the_size_at_the_next_start(stage: Stage) -> None:
    spec = SPEC.replace("  sample_size: 60\n", "")
    stage.begin(spec=spec)
    for trial in stage.pairs(12, 1.0):
        append_pilot(stage.context.git, "speed", trial.line())
    assert ledger_plan(stage).inference_basis == "no_size"
    stage.begin(spec=spec.replace("Faster", "Much faster"))
    assert ledger_plan(stage).inference_basis == "computed_size"


def ledger_plan(stage: Stage) -> PlanRules:
    frozen = stage.context.store.snapshot(inbox=False).ledger.plan("speed")
    assert frozen is not None
    return frozen.experiment.plan
