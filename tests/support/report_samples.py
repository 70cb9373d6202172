"""Experiments, lives and analyses as the rest of expci hands them over, made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from expci.core.lifecycle.transitions import Life, fold
from expci.core.model import events
from expci.core.model.experiment import (
    Arm,
    Assignment,
    DecisionRules,
    Experiment,
    Limit,
    Metric,
    PlanRules,
)
from expci.core.model.metric_kinds import Kind
from expci.core.model.results import (
    Analysis,
    ArmSummary,
    Check,
    Comparison,
    Corrected,
    Criterion,
    Decision,
    Evidence,
    Interval,
    MetricResult,
    Paired,
    Progress,
    TrialCounts,
    Welch,
)

PLAN = "4be1c0de" * 8
LEDGER = "9f2c31aa" * 5
BASE = "51d0b3e7" * 5
MERGE = "c7a1e9d2" * 5

DURATION = Metric(
    "duration_s", "primary", "duration", "decrease", Limit(0.15, True), Limit(0.10, True)
)
SUCCESS = Metric("success", "guardrail", "proportion", "increase", None, Limit(0.05, False))
SATISFACTION = Metric(
    "satisfaction", "guardrail", "mean", "increase", None, Limit(0.10, True), alert_below=0.5
)
MEMORY = Metric("max_rss_mb", "secondary", "mean", "decrease")


def experiment(**changes: Any) -> Experiment:
    made = Experiment(
        id="parallel-review",
        name="Parallel agents in PR review",
        hypothesis="Running the security and clean-up agents in parallel cuts review time by 15% "
        "within 14 days.",
        arms=(
            Arm("control"),
            Arm("treatment", "agents in parallel", "treatment/", env={"REVIEW_MODE": "parallel"}),
        ),
        metrics=(DURATION, SUCCESS, SATISFACTION, MEMORY),
        assignment=Assignment("run", "paired", {"control": 1, "treatment": 1}),
        plan=PlanRules(min_trials=20, sample_size=40, max_days=14),
        decision=DecisionRules(promote_at=Limit(0.075, True)),
        owner="octocat",
        tags=("review",),
        prior=0.7,
        run="./review.sh",
    )
    return replace(made, **changes)


def measured(name: str, kind: Kind = "mean", unit: str | None = None) -> Metric:
    """A metric of that name, for its number formats."""
    return Metric(name, "primary", kind, "decrease", unit=unit)


def comparison(
    improvement: float | None = 0.213,
    interval: Interval | None = (0.12, 0.294),
    difference: float | None = -2.62,
    difference_interval: Interval | None = (-3.6, -1.5),
    *,
    arm: str = "treatment",
    harm: float | None = 0.99,
    **changes: Any,
) -> Comparison:
    made = Comparison(
        arm=arm,
        difference=difference,
        difference_interval=difference_interval,
        improvement=improvement,
        interval=interval,
        level=0.95,
        evidence=Evidence("anytime", 0.0031, 322.0, None, 5.78, harm, 0.0167),
        welch=Welch(-4.21, 41.3, 0.000132, (-3.87, -1.37)),
        paired=Paired(24, -5.02, 22.0, 0.0000487, (-3.7, -1.54), 0.21, 0.38),
        cohens_d=-1.21,
        hedges_g=-1.19,
        power=0.97,
        effect_size_word="large",
        difference_error=0.52,
        improvement_error=0.043,
        corrected=Corrected(0.186, (0.12, 0.262), -2.3, (-3.22, -1.5)),
    )
    return replace(made, **changes)


def duration(**changes: Any) -> MetricResult:
    made = MetricResult(
        "duration_s",
        "primary",
        "duration",
        "decrease",
        {
            "control": ArmSummary(24, 12.31, 2.04, 8.92, 17.4),
            "treatment": ArmSummary(24, 9.69, 1.87, 6.85, 14.1),
        },
        (comparison(),),
    )
    return replace(made, **changes)


def success(found: Comparison | None = None) -> MetricResult:
    arms = {
        "control": ArmSummary(24, 23 / 24, 0.204, 0.0, 1.0),
        "treatment": ArmSummary(24, 1.0, 0.0, 1.0, 1.0),
    }
    default = comparison(
        None,
        None,
        0.0417,
        (-0.043, 0.151),
        evidence=Evidence("safe_2x2", 0.81, 0.92, None, -0.08, 1.0, 0.0167),
        welch=None,
        paired=None,
        cohens_d=None,
        hedges_g=None,
        power=0.08,
        effect_size_word=None,
    )
    return MetricResult("success", "guardrail", "proportion", "increase", arms, (found or default,))


def satisfaction() -> MetricResult:
    arms = {
        "control": ArmSummary(20, 0.81, 0.11, 0.6, 1.0),
        "treatment": ArmSummary(19, 0.79, 0.13, 0.5, 1.0),
    }
    found = comparison(-0.025, (-0.145, 0.094), -0.02, (-0.117, 0.076), harm=0.41)
    return MetricResult("satisfaction", "guardrail", "mean", "increase", arms, (found,))


def memory() -> MetricResult:
    arms = {
        "control": ArmSummary(24, 212.0, 14.2, 190.0, 244.0),
        "treatment": ArmSummary(24, 1231.5, 31.0, 1180.0, 1302.0),
    }
    found = comparison(-4.81, (-5.2, -4.4), 1019.5, (933.0, 1102.0), harm=0.00002)
    return MetricResult("max_rss_mb", "secondary", "mean", "decrease", arms, (found,))


def analysis(verdict: str = "promote", code: str = "win", **changes: Any) -> Analysis:
    decision = Decision(
        verdict,  # type: ignore[arg-type]
        code,  # type: ignore[arg-type]
        ("duration_s: the evidence passes alpha, and the estimate passes 7.5%",),
        "open the promote pull request",
        "treatment",
        (
            Criterion("no harm", True, "no metric below alpha/m = 0.0167"),
            Criterion("trust checks", True, "none failed"),
            Criterion("min_trials", True, "24 of 20"),
            Criterion("evidence on the primary", True, "p = 0.0031, needs 0.05"),
            Criterion("estimate at promote_at", True, "21.3%, needs 7.5%"),
            Criterion("satisfaction within its limit", None, "its interval reaches −14.5%"),
        ),
    )
    made = Analysis(
        experiment="parallel-review",
        plan=PLAN,
        ledger=LEDGER,
        state="running",
        at="2026-11-22T10:00:00.000Z",
        trials=TrialCounts({"control": 24, "treatment": 24}, {"file_changed": 2, "not_exposed": 1}),
        metrics=(duration(), success(), satisfaction(), memory()),
        checks=(
            Check("sample_ratio", "ok", 0.87),
            Check("attrition", "ok", 0.44),
            Check("order_effect", "warning", 0.031, "the second run of a pair is 1.7% slower"),
            Check("control_drift", "unknown", None, "needs 30 trials"),
        ),
        decision=decision,
        progress=Progress(
            24,
            40,
            0,
            12.0,
            None,
            (9.8, 15.7),
            runs_per_month=365.25,
            corrected_hours_saved_per_month=(9.8, 13.8),
        ),
        version="0.1.0",
    )
    return replace(made, **changes)


def collecting() -> Analysis:
    made = analysis("continue", "collecting")
    early = comparison(0.12, (-0.04, 0.27), -1.5, (-3.4, 0.5))
    criteria = (
        Criterion("min_trials", False, "12 of 20"),
        Criterion("evidence on the primary", False, "p = 0.21, needs 0.05"),
    )
    return replace(
        made,
        trials=TrialCounts({"control": 12, "treatment": 12}, {}),
        metrics=(duration(comparisons=(early,)), success()),
        decision=replace(
            made.decision,
            next="go on collecting",
            reasons=("12 of 20 pairs",),
            arm=None,
            criteria=criteria,
        ),
        progress=Progress(12, 20, 8, 6.0, "2026-11-25T00:00:00.000Z", runs_per_month=182.6),
    )


def no_data() -> Analysis:
    made = analysis("continue", "no_data")
    nothing = ArmSummary(0, None, None, None, None)
    empty = Comparison(
        "treatment",
        None,
        None,
        None,
        None,
        0.95,
        Evidence("anytime", None, None, None),
        None,
        None,
        None,
        None,
        None,
        notes=("no trial of either arm",),
    )
    return replace(
        made,
        trials=TrialCounts({"control": 0, "treatment": 0}, {}),
        metrics=(duration(arms={"control": nothing, "treatment": nothing}, comparisons=(empty,)),),
        checks=(Check("sample_ratio", "unknown"),),
        decision=Decision("continue", "no_data", ("no trial has arrived",), "look why", None),
        progress=Progress(0, 20),
    )


def rollback() -> Analysis:
    made = analysis("rollback", "harm_primary")
    worse = comparison(-0.152, (-0.225, -0.08), 1.87, (0.98, 2.77), harm=0.00021)
    return replace(
        made,
        metrics=(duration(comparisons=(worse,)), success()),
        decision=replace(
            made.decision,
            reasons=("duration_s: evidence of harm (p = 0.00021 at 0.0167)",),
            next="stop exposure",
            criteria=(Criterion("harm to duration_s", True, "p = 0.00021, held to 0.0167"),),
        ),
    )


def invalid() -> Analysis:
    made = analysis("invalid", "sample_ratio")
    return replace(
        made,
        checks=(Check("sample_ratio", "failed", 0.00002, "31 against 12, expected 1 to 1"),),
        decision=Decision(
            "invalid",
            "sample_ratio",
            ("the arms got 31 and 12 units where 1 to 1 was planned",),
            "find what keeps units out of one arm",
        ),
    )


def stopped_no_effect() -> Analysis:
    made = analysis("stop", "no_effect")
    nothing = comparison(0.004, (-0.03, 0.021), -0.05, (-0.26, 0.37), effect_size_word="negligible")
    return replace(
        made,
        metrics=(duration(comparisons=(nothing,)), success()),
        progress=Progress(40, 40, 0, 12.0),
    )


def expired() -> Analysis:
    made = collecting()
    return replace(
        made,
        decision=Decision("expire", "expired", ("14 days are over",), "end it"),
        progress=Progress(12, 40, 18, 0.9, "2026-12-30T00:00:00.000Z"),
    )


def watching() -> Analysis:
    made = analysis("continue", "collecting", state="watching")
    after = comparison(0.151, (-0.02, 0.31), -1.9, (-3.9, 0.2))
    return replace(
        made,
        metrics=(duration(comparisons=(after,)), success()),
        progress=Progress(10, 20, 10, 12.0, None, (2.2, 11.0), 0.23, 365.25),
    )


def several() -> tuple[Experiment, Analysis]:
    made = experiment(
        arms=(Arm("control"), Arm("fast", files="fast/"), Arm("faster", patch="faster.patch")),
        assignment=Assignment(design="blocked"),
    )
    arms = {
        "control": ArmSummary(30, 12.3, 2.0, 8.9, 17.4),
        "fast": ArmSummary(31, 11.5, 2.2, 7.9, 16.4),
        "faster": ArmSummary(29, 9.9, 1.8, 6.9, 14.4),
    }
    both = (
        comparison(
            0.06, (-0.05, 0.16), -0.8, (-2.0, 0.6), arm="fast", paired=None, holm_p_value=0.4
        ),
        comparison(
            0.19, (0.08, 0.29), -2.4, (-3.6, -1.0), arm="faster", paired=None, holm_p_value=0.006
        ),
    )
    found = analysis()
    return made, replace(
        found,
        trials=TrialCounts({"control": 30, "fast": 31, "faster": 29}, {}),
        metrics=(duration(arms=arms, comparisons=both),),
        decision=replace(found.decision, arm="faster"),
        progress=Progress(29, 60, 0, 12.0, None, (5.0, 14.4), runs_per_month=365.25),
    )


def when(day: int, hour: int = 9) -> str:
    return f"2026-11-{day:02}T{hour:02}:00:00.000Z"


_STARTED = events.Started(
    at=when(19), by="octocat", why="merged", plan=PLAN, base=BASE, mode="lab", salt="7f3a"
)
_OPENED = events.PromoteOpened(
    at=when(22),
    by="expci",
    why="win",
    arm="treatment",
    branch="expci/promote/parallel-review",
    pull=12,
)
_PROMOTED = events.Promoted(
    at=when(23), by="octocat", arm="treatment", branch="main", merge=MERGE, parent=BASE
)
_WIN = events.Decided(
    at=when(22, 8),
    by="expci",
    verdict="promote",
    reason_code="win",
    arm="treatment",
    analysed=LEDGER,
    why="duration_s −21.3%",
)


def life(*more: events.Event) -> Life:
    return fold([_STARTED, *more])


def lives() -> dict[str, Life]:
    """One life for each state that has a comment of its own."""
    watched = (_WIN, _OPENED, _PROMOTED)
    harmed = events.RolledBack(
        at=when(24), by="expci", why="harm", reason_code="harm_primary", arm="treatment"
    )
    return {
        "draft": fold([]),
        "running": life(),
        "paused": life(
            events.AlertRaised(at=when(21), by="expci", why="31 against 12", alert="sample_ratio"),
            events.Paused(
                at=when(21),
                by="expci",
                why="the sample ratio is off",
                reason_code="sample_ratio",
            ),
        ),
        "promoting": life(_WIN, _OPENED),
        "watching": life(*watched),
        "promoted": life(
            *watched, events.Stopped(at=when(30), by="expci", why="the watch is over")
        ),
        "rolled_back": life(
            *watched,
            harmed,
            events.Reverted(at=when(24), by="expci", commit=BASE, branch="main"),
            events.Learned(at=when(25), by="octocat", text="Parallel agents fight over one lock."),
        ),
        "expired": life(events.Expired(at=when(30), by="expci", why="max_days over")),
        "stopped": life(
            events.Stopped(at=when(29), by="expci", why="no effect", reason_code="no_effect"),
            events.Learned(at=when(29), by="octocat", text="The agents were never the slow part."),
        ),
    }


def plan_document() -> dict[str, Any]:
    row = {"trials_median": 40, "trials_p90": 40}
    return {
        "schema": "expci.plan/1",
        "sample_size": {"per_arm": 40},
        "minimum_detectable_effect": 0.121,
        "trials_per_day": 12.0,
        "expected_days": 6.7,
        "operating_characteristics": [
            {"scenario": "no_effect", "promote": 0.021, "rollback": 0.014, "stop": 0.941, **row},
            {
                "scenario": "minimum_effect",
                "promote": 0.93,
                "rollback": 0.0,
                "stop": 0.05,
                "trials_median": 24,
                "trials_p90": 38,
            },
            {"scenario": "harm", "promote": 0.0, "rollback": 0.84, "stop": 0.13, **row},
        ],
        "advice": ["The hypothesis names a goal and an end: good."],
    }
