"""Every report that expci writes, as text: values in, `str` out, the same bytes each time.

`report/text/numbers.py` makes numbers into words, the sections make values into sentences and
tables, the templates put them in their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from expci.core.lifecycle.transitions import Life
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis
from expci.report.documents import template_values
from expci.report.documents.environment import Format, as_markdown, as_text, safe, wrapped
from expci.report.sections import outlook, plan_rules, records
from expci.report.sections.effects import effect_of
from expci.report.sections.headline import headline, promotion_headline, state_words
from expci.report.sections.links import NOWHERE, WebPlace, links
from expci.report.sections.portfolio import portfolio_of
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.sections.registry import section_values
from expci.report.sections.review import obstacles, people
from expci.report.sections.sentences import (
    corrected_words,
    harm_sentence,
    primary_change,
    primary_of,
)
from expci.report.sections.whose_move import the_move, whose_move
from expci.report.text import escape, numbers, times
from expci.report.text.phrases import NOTHING, Code, Phrase, in_message

COMMENT_LIMIT = 65_000  # GitHub refuses 65,536 characters (422), on an update too
_SUBJECT_LIMIT = 72


def marker(kind: str, id: str) -> str:
    """The hidden line by which a comment is recognised. It holds no user text but the id."""
    safe_kind, safe_id = (re.sub(r"[^a-z0-9-]", "", part) for part in (kind, id))
    return f"<!-- expci:{safe_kind}:{safe_id} -->"


def comment(
    experiment: Experiment,
    life: Life,
    analysis: Analysis | None,
    *,
    base_branch: str,
    in_comments: bool = False,
    place: WebPlace = NOWHERE,
    unwatched: int = 0,
    waiting: str = "",
) -> str:
    """The one comment that is kept up to date on the experiment's pull request.

    `in_comments` is whether people can answer it with commands, `place` where its links lead,
    `unwatched` for how many days before this pass none ran, `waiting` what stays in the inbox.
    """
    commands = outlook.commands(experiment, life, in_comments=in_comments)
    values = template_values.common_values(experiment, life, analysis, base_branch) | {
        "commands": commands
    }
    values |= {"links": links(place, experiment, life, analysis)}
    values |= {"waiting": waiting}
    values |= {"unwatched": numbers.count(unwatched, "day") if unwatched else ""}
    return _fitting("comment.md.jinja", values, experiment, life, analysis, "report", place)


def promote_title(experiment: Experiment, analysis: Analysis | None) -> str:
    """The title of the promote pull request: the arm, the name and the effect."""
    arm = (analysis.decision.arm if analysis else None) or _only_treatment(experiment)
    name = template_values.short_name(experiment, 120)
    return escape.in_commit_message(
        f"Promote {arm} of {experiment.id}: {name}{_effect_words(analysis, arm)}"
    )


def promote_message(
    experiment: Experiment, analysis: Analysis | None, arm: str, why: str, trailer: str
) -> str:
    """The message of the commit that puts an arm into the base: which, what it does, and why."""
    subject = f"Promote {arm} of {experiment.id}"
    name = template_values.short_name(experiment, 120)
    body = [f"{name}{_effect_words(analysis, arm)}", why]
    texts = [escape.in_commit_message(text) for text in body if text]
    return "\n\n".join(
        [
            escape.in_commit_message(escape.clipped(subject, _SUBJECT_LIMIT - 2)),
            *(wrapped(text, _SUBJECT_LIMIT, indent="") for text in texts),
            trailer,
        ]
    )


def _effect_words(analysis: Analysis | None, arm: str) -> str:
    """` (duration_s better by 21.3%)`, or nothing without an estimate."""
    metric = primary_of(analysis) if analysis else None
    comparisons = [item for item in metric.comparisons if item.arm == arm] if metric else []
    if metric is None or not comparisons:
        return ""
    effect = effect_of(comparisons[0], metric)
    if not effect.value:
        return ""
    word = "better" if effect.value > 0 else "worse"
    return f" ({escape.clipped(metric.name, 64)} {word} by {effect.words(abs(effect.value))})"


def promote_body(
    experiment: Experiment,
    life: Life,
    analysis: Analysis | None,
    *,
    data_hash: str,
    undo: str,
    conflicts: Sequence[str],
    actors: Mapping[str, int] | None = None,
    place: WebPlace = NOWHERE,
) -> str:
    """The body of the promote pull request. `undo` is the command that takes the change back.

    `actors` are those whose jobs ran the trials, with how many.
    """
    opened = life.promote_opened
    rules = opened.rules.split(",") if opened and opened.rules else []
    values = template_values.common_values(experiment, life, analysis, outlook.ANY_BASE) | {
        "headline": promotion_headline(experiment, analysis),
        "data_hash": Code(data_hash),
        "undo": Code(undo),
        "links": links(place, experiment, life, analysis),
        "removed": Code(place.directory_of(experiment.id)),
        "conflicts": plan_rules.varied(conflicts),
        "watch": numbers.days(experiment.decision.watch_days),
        "people": people(life.started, opened, actors or {}),
        "obstacles": obstacles(opened.opened_by if opened else "", rules),
    }
    return _fitting("promote.md.jinja", values, experiment, life, analysis, "promote", place)


def plan_text(
    plan_report_json: Mapping[str, Any], experiment: Experiment, then: Phrase = NOTHING
) -> str:
    """The design report for a terminal; `then` follows it, the start where that is nothing."""
    values = template_values.design(experiment, plan_report_json, ())
    return as_text("plan.txt.jinja", **values, next=then or values["start"])


def analysis_report(
    experiment: Experiment, life: Life, analysis: Analysis, format: Format = "text"
) -> str:
    """The full report: every criterion, number and assumption of one look."""
    values = template_values.common_values(experiment, life, analysis, outlook.ANY_BASE)
    values |= {"source": template_values.source(analysis)}
    values |= section_values(experiment, life, analysis, template_values.EVERYTHING)
    return _either("analysis", format, values)


def analysis_screen(
    experiment: Experiment, life: Life, analysis: Analysis, base_branch: str = outlook.ANY_BASE
) -> str:
    """One screen of a look: the verdict, the next step, each judged metric, progress, health."""
    values = template_values.common_values(experiment, life, analysis, base_branch)
    values |= section_values(experiment, life, analysis, template_values.EVERYTHING)
    values |= {"move": the_move(experiment, life, analysis, base_branch)}
    values |= {"promoted_for": Code(f"expci status {experiment.id}") if life.promoted else ""}
    return as_text("screen.txt.jinja", **values, more=Code(f"expci analyze {experiment.id} --full"))


def status_report(rows: Sequence[PortfolioRow], *, all: bool, format: Format = "text") -> str:
    """The portfolio; with `all`, also what has ended."""
    return _either("status", format, {"portfolio": portfolio_of(rows), "all": all})


def pass_summary(
    lines: Sequence[str], problems: Sequence[str], rows: Sequence[PortfolioRow]
) -> str:
    """What one pass did and where all experiments stand, for the CI's job summary."""
    entries = portfolio_of(rows)
    return as_markdown(
        "pass.md.jinja", lines=lines, problems=problems, portfolio=entries, all=False
    )


def status_one(
    experiment: Experiment,
    life: Life,
    analysis: Analysis | None,
    promotion: Analysis | None = None,
) -> str:
    """One experiment in detail, for a terminal, with its whole event log.

    `promotion` is the analysis that it was promoted for, once it was.
    """
    arm = life.promoted.arm if life.promoted else None
    values = template_values.common_values(experiment, life, analysis, outlook.ANY_BASE)
    values |= {"commands": outlook.commands(experiment, life)}
    values |= section_values(experiment, life, analysis, template_values.EVERYTHING)
    values |= {"events": records.event_views(life)}
    won_by = primary_change(promotion, arm)
    values |= {"won_by": won_by.sentence if won_by else ""}
    corrected = corrected_words(promotion, arm)
    values |= {"corrected": f"corrected for the winner's curse: {corrected}" if corrected else ""}
    return as_text("one.txt.jinja", **values)


def ledger_readme(rows: Sequence[PortfolioRow]) -> str:
    """The portfolio as the ledger's own front page."""
    return as_markdown("readme.md.jinja", portfolio=portfolio_of(rows), all=True)


def state_comment(
    experiment: Experiment, life: Life, analysis: Analysis | None, base_branch: str
) -> str:
    """One short comment for the change of state by the last event.

    `analysis` is `None` for a change that others have followed since.
    """
    event, number = life.events[-1], len(life.events)
    return as_markdown(
        "state.md.jinja",
        headline=headline(experiment, life, analysis) if analysis else None,
        move=whose_move(experiment, life, analysis, base_branch),
        name=template_values.short_name(experiment),
        id=Code(experiment.id),
        state=state_words(life),
        event=event,
        event_words=records.event_words(event, life),
        when=times.minute(event.at),
        marker=safe(marker("state", f"{experiment.id}-{number}")),
    )


def revert_body(
    experiment: Experiment,
    life: Life,
    analysis: Analysis | None,
    reason: str,
    opened_by: str = "",
    rules: Sequence[str] = (),
) -> str:
    """The body of the pull request that undoes a promotion. `reason`: why not a commit."""
    return as_markdown(
        "revert.md.jinja",
        headline=headline(experiment, life, analysis),
        name=template_values.short_name(experiment),
        id=Code(experiment.id),
        reason=reason,
        obstacles=obstacles(opened_by, rules),
        why=life.ended.why if life.ended else "",
        marker=safe(marker("revert", experiment.id)),
    )


def alert_issue(experiment: Experiment, life: Life, analysis: Analysis | None) -> tuple[str, str]:
    """Title and body of the issue that lists what is wrong with an experiment."""
    names = ", ".join(escape.words(name) for name in life.alerts)
    title = escape.in_commit_message(
        escape.clipped(f"expci: {experiment.id} needs a look: {names}", 200)
    )
    return title, as_markdown(
        "alert.md.jinja",
        alerts=[(escape.words(a.alert), times.minute(a.at), a.why) for a in life.alerts.values()],
        headline=headline(experiment, life, analysis),
        name=template_values.short_name(experiment),
        id=Code(experiment.id),
        owner=experiment.owner or "",
        state=state_words(life),
        commands=outlook.commands(experiment, life),
        marker=safe(marker("alert", experiment.id)),
    )


def first_sentence(experiment: Experiment, life: Life, analysis: Analysis | None) -> str:
    """The headline as plain text."""
    return in_message(headline(experiment, life, analysis).sentence)


def revert_message(
    experiment: Experiment, life: Life, analysis: Analysis | None, reason: str
) -> str:
    """A commit message: what is undone, why, and the numbers."""
    arm = life.promoted.arm if life.promoted else _only_treatment(experiment)
    subject = escape.in_commit_message(
        escape.clipped(f"Revert {arm} of {experiment.id}", _SUBJECT_LIMIT - 2)
    )
    body = [f"Reason: {escape.in_commit_message(escape.clipped(reason, 1000))}"]
    harmful = analysis is not None and analysis.decision.verdict == "rollback"
    change = primary_change(analysis, arm)
    evidence = harm_sentence(analysis) if harmful else change.sentence if change else None
    body += [f"Evidence: {in_message(evidence)}." if evidence else "Evidence: none at hand."]
    if life.promoted:
        body += [f"This undoes {life.promoted.merge}, promoted {times.day(life.promoted.at)}."]
    trailers = [f"Expci-Experiment: {escape.in_commit_message(experiment.id)}"]
    trailers += [f"Expci-Plan: {escape.clean(life.plan)}"] if life.plan else []
    trailers += [f"Expci-Ledger: {escape.clean(analysis.ledger)}"] if analysis else []
    paragraphs = [subject, *(wrapped(text, _SUBJECT_LIMIT) for text in body), "\n".join(trailers)]
    return "\n\n".join(paragraphs) + "\n"


def _only_treatment(experiment: Experiment) -> str:
    return experiment.treatments[0].name if len(experiment.treatments) == 1 else "a treatment"


def _fitting(
    template: str,
    values: Mapping[str, Any],
    experiment: Experiment,
    life: Life,
    analysis: Analysis | None,
    kind: str,
    place: WebPlace,
) -> str:
    """The longest form of a comment that the forge takes; it says when a part is missing."""
    text = ""
    hidden = safe(marker(kind, experiment.id))
    for step, kept in enumerate(template_values.SHORTER):
        parts = section_values(experiment, life, analysis, kept, place)
        text = as_markdown(template, **{**values, **parts}, shortened=step > 0, marker=hidden)
        if length(text) <= COMMENT_LIMIT:
            return text
    return text


def length(text: str) -> int:
    """Characters as GitHub may count them: UTF-16 units, the larger of the usual counts."""
    return len(text.encode("utf-16-le")) // 2


def _either(name: str, format: Format, values: Mapping[str, Any]) -> str:
    if format == "markdown":
        return as_markdown(f"{name}.md.jinja", **values)
    return as_text(f"{name}.txt.jinja", **values)
