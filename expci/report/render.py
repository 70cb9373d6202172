"""Every report that expci writes, as text: values in, `str` out, the same bytes each time.

`report/view.py` makes numbers into words, `headline.py`, `findings.py`, `tables.py`, `plan.py`
and `portfolio.py` make values into sentences and tables, the templates put them in their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from expci.core.lifecycle import Life, State
from expci.core.model import Experiment
from expci.core.results import Analysis
from expci.report import escape, findings, outlook, plan, records, tables, view
from expci.report.effect import effect
from expci.report.environment import Format, as_markdown, as_text, safe, wrapped
from expci.report.headline import amount, harm, headline, no_trials, primary_change, promotion
from expci.report.phrase import Code, Phrase, Words, in_message, joined, say
from expci.report.portfolio import portfolio, progress
from expci.report.table import Table
from expci.report.view import PortfolioRow

COMMENT_LIMIT = 65_000  # GitHub refuses 65,536 characters (422), on an update too
_SUBJECT_LIMIT = 72

# What a comment gives up, in this order, until it fits.
_SHORTER: tuple[Mapping[str, Any], ...] = (
    {},
    {"log": 10},
    {"log": 0},
    {"log": 0, "numbers": False},
    {"log": 0, "numbers": False, "plan": False, "trials": False},
    {"log": 0, "numbers": False, "plan": False, "trials": False, "criteria": False, "most": 15},
    {
        "log": 0,
        "numbers": False,
        "plan": False,
        "trials": False,
        "criteria": False,
        "findings": False,
        "most": 4,
    },
)
_WHOLE: Mapping[str, Any] = {
    "log": 40,
    "numbers": True,
    "plan": True,
    "trials": True,
    "criteria": True,
    "findings": True,
    "most": None,
}


def marker(kind: str, id: str) -> str:
    """The hidden line by which a comment is found again. It holds no user text but the id."""
    safe_kind, safe_id = (re.sub(r"[^a-z0-9-]", "", part) for part in (kind, id))
    return f"<!-- expci:{safe_kind}:{safe_id} -->"


def comment(
    experiment: Experiment,
    life: Life,
    analysis: Analysis | None,
    *,
    base_branch: str,
    verbs_prefix: str = "expci",
) -> str:
    """The one comment that is kept up to date on the experiment's request."""
    commands = outlook.commands(experiment, life, verbs_prefix)
    context = _context(experiment, life, analysis, base_branch) | {"commands": commands}
    return _fitting("comment.md.jinja", context, experiment, life, analysis, "report")


def promote_title(experiment: Experiment, analysis: Analysis | None) -> str:
    """The title of the promote request: the arm, the name and the effect."""
    arm = (analysis.decision.arm if analysis else None) or _only_treatment(experiment)
    metric = analysis.primary if analysis and analysis.metrics else None
    found = [item for item in metric.comparisons if item.arm == arm] if metric else []
    size = ""
    if metric is not None and found:
        shown = effect(found[0], metric)
        size = f" ({metric.name} better by {shown.shown(shown.value)})" if shown.value else ""
    return escape.plain(f"Promote {arm} of {experiment.id}: {_name(experiment, 120)}{size}")


def promote_body(
    experiment: Experiment,
    life: Life,
    analysis: Analysis | None,
    *,
    data_hash: str,
    undo: str,
    conflicts: Sequence[str],
) -> str:
    """The body of the promote request. `undo` is the command that takes the change back."""
    context = _context(experiment, life, analysis, "the base branch") | {
        "headline": promotion(experiment, analysis),
        "data_hash": Code(data_hash),
        "undo": Code(undo),
        "conflicts": plan.varied(conflicts),
        "watch": view.days(experiment.decision.watch_days),
    }
    return _fitting("promote.md.jinja", context, experiment, life, analysis, "promote")


def design_comment(
    experiment: Experiment,
    plan_report_json: Mapping[str, Any],
    varied: Sequence[str],
    advice: Sequence[str],
) -> str:
    """What a proposed experiment would do, from the `expci.plan/1` document."""
    return as_markdown(
        "design.md.jinja",
        **_design(experiment, plan_report_json, advice),
        varied=plan.varied(varied),
        marker=safe(marker("design", experiment.id)),
    )


def plan_text(plan_report_json: Mapping[str, Any], experiment: Experiment) -> str:
    """The design report for a terminal."""
    return as_text("plan.txt.jinja", **_design(experiment, plan_report_json, ()))


def analysis(
    experiment: Experiment, life: Life, analysis: Analysis, format: Format = "text"
) -> str:
    """The full report: every criterion, number and assumption of one look."""
    context = _context(experiment, life, analysis, "the base branch")
    context |= {"source": _source(analysis)}
    context |= _details(experiment, life, analysis, {**_WHOLE, "log": None})
    return _either("analysis", format, context)


def status(rows: Sequence[PortfolioRow], *, all: bool, format: Format = "text") -> str:
    """The portfolio; with `all`, also what has ended."""
    return _either("status", format, {"portfolio": portfolio(rows), "all": all})


def status_one(experiment: Experiment, life: Life, analysis: Analysis | None) -> str:
    """One experiment in detail, for a terminal, with its whole event log."""
    context = _context(experiment, life, analysis, "the base branch")
    context |= {"commands": outlook.commands(experiment, life, "expci")}
    context |= _details(experiment, life, analysis, {**_WHOLE, "log": None})
    context |= {"events": [records.event_view(event) for event in life.events]}
    return as_text("one.txt.jinja", **context)


def ledger_readme(rows: Sequence[PortfolioRow]) -> str:
    """The portfolio as the ledger's own front page."""
    return as_markdown("readme.md.jinja", portfolio=portfolio(rows), all=True)


def state_comment(experiment: Experiment, life: Life, sentence: Words) -> str:
    """One short comment for one change of state."""
    event = life.events[-1] if life.events else None
    return as_markdown(
        "state.md.jinja",
        sentence=sentence,
        name=_name(experiment),
        id=Code(experiment.id),
        state=view.words(life.state),
        event=event,
        event_words=records.event_words(event) if event else "",
        when=view.minute(event.at) if event else "",
        marker=safe(marker("state", experiment.id)),
    )


def revert_message(
    experiment: Experiment, life: Life, analysis: Analysis | None, reason: str
) -> str:
    """A commit message: what is undone, why, and the numbers."""
    arm = life.promoted.arm if life.promoted else _only_treatment(experiment)
    subject = escape.plain(escape.clipped(f"Revert {arm} of {experiment.id}", _SUBJECT_LIMIT - 2))
    body = [f"Reason: {escape.plain(escape.clipped(reason, 1000))}"]
    harmful = analysis is not None and analysis.decision.verdict == "rollback"
    numbers = harm(analysis) if harmful else primary_change(analysis, arm)
    body += [f"Evidence: {in_message(numbers)}." if numbers else "Evidence: none at hand."]
    if life.promoted:
        body += [f"This undoes {life.promoted.merge}, promoted {view.day(life.promoted.at)}."]
    trailers = [f"Expci-Experiment: {escape.plain(experiment.id)}"]
    trailers += [f"Expci-Plan: {escape.clean(life.plan)}"] if life.plan else []
    trailers += [f"Expci-Ledger: {escape.clean(analysis.ledger)}"] if analysis else []
    paragraphs = [subject, *(wrapped(text, _SUBJECT_LIMIT) for text in body), "\n".join(trailers)]
    return "\n\n".join(paragraphs) + "\n"


def _only_treatment(experiment: Experiment) -> str:
    return experiment.treatments[0].name if len(experiment.treatments) == 1 else "a treatment"


def _name(experiment: Experiment, limit: int = 200) -> str:
    return escape.clipped(experiment.name, limit) or experiment.id


def _fitting(
    template: str,
    context: Mapping[str, Any],
    experiment: Experiment,
    life: Life,
    analysis: Analysis | None,
    kind: str,
) -> str:
    """The longest form of a comment that the forge takes; what was left out is said."""
    text = ""
    hidden = safe(marker(kind, experiment.id))
    for step, shorter in enumerate(_SHORTER):
        parts = _details(experiment, life, analysis, {**_WHOLE, **shorter})
        text = as_markdown(template, **{**context, **parts}, shortened=step > 0, marker=hidden)
        if length(text) <= COMMENT_LIMIT:
            return text
    return text


def length(text: str) -> int:
    """Characters as GitHub may count them: UTF-16 units, the larger of the usual counts."""
    return len(text.encode("utf-16-le")) // 2


def _context(
    experiment: Experiment, life: Life, analysis: Analysis | None, base_branch: str
) -> dict[str, Any]:
    """What every report of one experiment starts with."""
    return {
        "headline": headline(experiment, life, analysis),
        "name": _name(experiment),
        "id": Code(experiment.id),
        "state": view.words(life.state),
        "owner": experiment.owner or "",
        "hypothesis": experiment.hypothesis,
        "progress": progress(experiment, analysis) if life.state == State.RUNNING else "",
        "amount": amount(experiment, analysis.progress.per_arm) if analysis else "no trials",
        "looked": view.minute(analysis.at) if analysis else "",
        "arrivals": findings.arrivals(analysis) or "",
        "next": outlook.next_steps(experiment, life, analysis, base_branch),
        "impact": outlook.impact(analysis),
        "recommendation": outlook.recommendation(experiment, life, analysis),
        "learned": life.learned,
        "provenance": _provenance(life, analysis),
    }


def _provenance(life: Life, analysis: Analysis | None) -> Phrase:
    parts = [say("plan {}", Code(view.short(life.plan)))] if life.plan else []
    if analysis is not None:
        parts += [say("ledger {}", Code(view.short(analysis.ledger)))]
        parts += [say("expci {}", escape.clean(analysis.version or "of unknown version"))]
        parts += [say("looked {}", view.minute(analysis.at))]
    return joined(parts, " · ")


def _source(analysis: Analysis) -> tuple[tuple[str, Code], ...]:
    """What it takes to compute this report again."""
    return (
        ("plan", Code(analysis.plan)),
        ("ledger", Code(analysis.ledger)),
        ("expci", Code(analysis.version or view.NOT_KNOWN)),
        ("looked", Code(view.minute(analysis.at))),
    )


def _details(
    experiment: Experiment, life: Life, analysis: Analysis | None, show: Mapping[str, Any]
) -> dict[str, Any]:
    """The parts that a comment may have to give up, as `show` says."""
    found = findings.findings(experiment, analysis) if show["findings"] else None
    health = findings.health(life, analysis)
    if not show["findings"]:
        health = (say("{} notes; see {}", str(len(health)), Code(f"expci status {experiment.id}")),)
    details: dict[str, Any] = {"findings": found, "health": health}
    details |= {"plan": _plan(experiment) if show["plan"] else None}
    details |= {"log": records.events(life, show["log"]) if show["log"] != 0 else None}
    details |= {"log_hidden": max(0, len(life.events) - (show["log"] or len(life.events)))}
    if analysis is None or no_trials(analysis):
        nothing = ("results", "narrow_results", "numbers", "trials", "checks", "criteria")
        return details | {"needed": "", "reasons": ()} | dict.fromkeys(nothing)
    return details | {
        "results": tables.results(experiment, analysis, most=show["most"], wide=True),
        "narrow_results": tables.results(experiment, analysis, most=None, wide=False),
        "needed": outlook.still_needed(experiment, analysis),
        "numbers": _numbers(experiment, analysis) if show["numbers"] else None,
        "trials": records.trials(experiment, analysis) if show["trials"] else None,
        "checks": records.checks(analysis) if show["trials"] else None,
        "criteria_lines": [
            (mark, say("{}: {}", rule, detail) if detail else rule)
            for mark, rule, detail in findings.criteria(analysis)
        ],
        "check_lines": records.check_lines(analysis),
        "criteria": _criteria(analysis) if show["criteria"] else None,
        "reasons": analysis.decision.reasons if show["criteria"] else None,
    }


def _criteria(analysis: Analysis) -> Table:
    rows = findings.criteria(analysis)
    return Table("lll", ("criterion", "is", "detail"), tuple((r, m, d) for m, r, d in rows))


def _numbers(experiment: Experiment, analysis: Analysis) -> dict[str, Any]:
    return {
        "arms": tables.arms(analysis),
        "differences": tables.differences(analysis),
        "evidence": tables.evidence(experiment, analysis),
        "harms": tables.harms(analysis),
        "effect_sizes": tables.effect_sizes(analysis),
        "classical": tables.classical(analysis),
        "orders": tables.orders(analysis),
    }


def _plan(experiment: Experiment) -> dict[str, Any]:
    return {
        "arms": plan.arms(experiment),
        "metrics": plan.metrics(experiment),
        "rules": plan.rules(experiment),
    }


def _design(
    experiment: Experiment, document: Mapping[str, Any], advice: Sequence[str]
) -> dict[str, Any]:
    return {
        "report": plan.plan_view(document, experiment, advice),
        "name": _name(experiment),
        "id": Code(experiment.id),
        "owner": experiment.owner or "",
        "hypothesis": experiment.hypothesis,
        "plan": _plan(experiment),
        "start": Code(f"expci start {experiment.id}"),
        "merge_makes_live": experiment.slot is not None,
    }


def _either(name: str, format: Format, context: Mapping[str, Any]) -> str:
    if format == "markdown":
        return as_markdown(f"{name}.md.jinja", **context)
    return as_text(f"{name}.txt.jinja", **context)
