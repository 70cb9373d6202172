"""The design comment and the check of a pull request that proposes experiments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from expci.core.lifecycle.transitions import State
from expci.core.model.experiment import Experiment
from expci.core.spec.yaml_document import Problem, printable
from expci.report.documents import template_values
from expci.report.documents.environment import as_markdown, safe
from expci.report.documents.render import COMMENT_LIMIT, length, marker
from expci.report.sections import plan, plan_rules
from expci.report.sections.headline import MARKS, Headline
from expci.report.sections.links import DOCS
from expci.report.text import escape, numbers
from expci.report.text.phrases import Code, Link, Phrase, Strong, Words, joined, phrase, spoken

ProposalStanding = Literal["proposed", "running", "other content", "ran before"]
START_LABEL = "expci:run"
_STANDING: Mapping[ProposalStanding, str] = {
    "proposed": "draft",
    "running": "started with this content",
    "other content": "started with other content",
    "ran before": "this content ran before",
}
_MOST_PROBLEMS = 50
_PROBLEM_LIMIT = 400


@dataclass(frozen=True)
class FileChange:
    """What one arm makes of one file. `lines` are those of a unified diff; `note` says what
    they do not show."""

    arm: str
    path: str
    lines: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Proposal:
    """One experiment of a pull request. `document` is its `expci.plan/1`, `{}` where there is none.

    `experiment` is `None` where there are problems. `blocked` is whether an overlap keeps it
    from starting.
    """

    id: str
    experiment: Experiment | None
    problems: tuple[Problem, ...] = ()
    document: Mapping[str, Any] | None = None
    changes: tuple[FileChange, ...] = ()
    advice: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    blocked: bool = False
    standing: ProposalStanding = "proposed"

    @property
    def all_advice(self) -> tuple[str, ...]:
        """What the spec, the plan and what else is live give to think about."""
        own = (self.document or {}).get("advice")
        advised = own if isinstance(own, (list, tuple)) else ()
        return tuple(dict.fromkeys([*self.advice, *map(str, advised)]))


@dataclass(frozen=True)
class ProposingPullRequest:
    """Where the experiments are proposed."""

    number: int
    head: str
    fork: bool = False


@dataclass(frozen=True)
class DesignParts:
    """`lines` of each file's diff, `files` of each experiment, whether the plan is there, how
    many experiments."""

    lines: int = 80
    files: int = 20
    plan: bool = True
    most: int = 1000


# What a comment gives up, in this order, until it fits.
SHORTER = (
    DesignParts(),
    DesignParts(lines=25, files=10),
    DesignParts(lines=8, files=5),
    DesignParts(files=0),
    DesignParts(files=0, plan=False),
    DesignParts(files=0, plan=False, most=5),
    DesignParts(files=0, plan=False, most=1),
)


def design_comment(pull_request: ProposingPullRequest, proposals: Sequence[Proposal]) -> str:
    """The one comment that a pull request which proposes experiments gets."""
    return _fitting(pull_request, proposals, marker("design", str(pull_request.number)))


def design_summary(pull_request: ProposingPullRequest, proposals: Sequence[Proposal]) -> str:
    """The same for the check run and the job's summary."""
    return _fitting(pull_request, proposals, "")


def design_title(proposals: Sequence[Proposal]) -> str:
    """The check's one line."""
    problems = sum(len(item.problems) for item in proposals)
    experiments = numbers.count(len(proposals), "experiment")
    if problems:
        return f"{experiments}, {numbers.count(problems, 'problem')}"
    advice = sum(len(item.all_advice) + item.blocked for item in proposals)
    return f"{experiments}, valid" + (f"; {advice} to think about" if advice else "")


def _fitting(pull_request: ProposingPullRequest, proposals: Sequence[Proposal], hidden: str) -> str:
    text = ""
    for step, kept in enumerate(SHORTER):
        text = _comment(pull_request, proposals, kept, hidden, shortened=step > 0)
        if length(text) <= COMMENT_LIMIT:
            break
    return text


def _comment(
    pull_request: ProposingPullRequest,
    proposals: Sequence[Proposal],
    kept: DesignParts,
    hidden: str,
    *,
    shortened: bool,
) -> str:
    blocks = _Blocks()
    more = len(proposals) - kept.most
    text = as_markdown(
        "design.md.jinja",
        headline=_headline(proposals),
        head=Code(escape.short(pull_request.head)),
        proposals=[_parts(item, kept, blocks) for item in proposals[: kept.most]],
        hidden=f"And {numbers.count(more, 'more experiment')}." if more > 0 else "",
        move=_move(pull_request, proposals),
        docs=Link(DOCS, "how to read this"),
        shortened=shortened,
        marker=safe(hidden),
    )
    return blocks.put_into(text)


def _headline(proposals: Sequence[Proposal]) -> Headline:
    count = numbers.count(len(proposals), "experiment")
    if not proposals:
        return Headline("⏹️", "No experiment", phrase("this pull request changes none any more"))
    if any(item.problems for item in proposals):
        problems = sum(len(item.problems) for item in proposals)
        claim = phrase(
            "{} to correct; nothing can start before", numbers.count(problems, "problem")
        )
        return Headline("❌", "Not valid", claim)
    if all(item.standing == "running" for item in proposals):
        claim = phrase("its report is in a comment of its own")
        return Headline(MARKS[State.RUNNING], "Started", claim)
    return Headline(MARKS[State.DRAFT], f"{count} proposed", phrase("valid, and not started"))


def _parts(item: Proposal, kept: DesignParts, blocks: _Blocks) -> dict[str, Any]:
    experiment = item.experiment
    parts: dict[str, Any] = {
        "name": escape.clipped(item.id, 80)
        if experiment is None
        else template_values.short_name(experiment),
        "id": Code(item.id),
        "standing": "not valid" if item.problems else _STANDING[item.standing],
        "owner": (experiment.owner or "") if experiment else "",
        "problems": _problems(item.problems),
    }
    if experiment is None or item.problems:
        return parts
    return parts | {
        "hypothesis": experiment.hypothesis,
        "report": plan.plan_view(item.document or {}, experiment, item.advice),
        "arms": plan_rules.arm_descriptions(experiment),
        "changes": _changes(item.changes, kept, blocks),
        "overlaps": item.overlaps,
        "plan": plan_rules.plan_parts(experiment) if kept.plan else None,
    }


def _problems(problems: Sequence[Problem]) -> list[Words]:
    first = problems[:_MOST_PROBLEMS]
    lines: list[Words] = [spoken(escape.clipped(item, _PROBLEM_LIMIT)) for item in first]
    more = len(problems) - len(first)
    return [*lines, f"and {more} more"] if more > 0 else lines


def _changes(
    changes: Sequence[FileChange], kept: DesignParts, blocks: _Blocks
) -> list[dict[str, Any]]:
    items = []
    for change in changes[: kept.files]:
        lines, cut = change.lines[: kept.lines], len(change.lines) - kept.lines
        notes = [change.note] if change.note else []
        notes += [f"{numbers.count(cut, 'more line')} of the difference"] if cut > 0 else []
        what = phrase("{}: {}", Code(change.arm), Code(change.path))
        what = joined([what, f" ({'; '.join(notes)})"]) if notes else what
        items.append({"what": what, "block": blocks.hold(fenced(lines)) if lines else ""})
    if kept.files and (more := len(changes) - kept.files) > 0:
        items.append({"what": f"and {numbers.count(more, 'more file')}", "block": ""})
    return items


def _move(pull_request: ProposingPullRequest, proposals: Sequence[Proposal]) -> Phrase:
    """Whose move it is, and what the moves are."""
    if not proposals:
        return phrase("{}: until it adds or changes an experiment again.", Strong("Nothing to do"))
    if any(item.problems for item in proposals):
        words = "{}: correct the problems and push; nothing can start before that."
        return phrase(words, Strong("Your move"))
    if all(item.standing == "running" for item in proposals):
        words = "{}: a push that changes its content pauses it until it is started again."
        return phrase(words, Strong("Nothing to do"))
    return joined([phrase("{}: ", Strong("Your move")), *_ways_to_start(pull_request, proposals)])


def _ways_to_start(
    pull_request: ProposingPullRequest, proposals: Sequence[Proposal]
) -> tuple[Words, ...]:
    live = any(item.experiment and item.experiment.slot for item in proposals)
    merging = (
        "merge this pull request to make it live: jobs with its slot take part."
        if live
        else "merge this pull request to start it."
    )
    blocked = any(item.blocked for item in proposals)
    overlap = " The overlap named below must end first: a start is refused until then."
    more = (overlap,) if blocked else ()
    if pull_request.fork:
        return (merging, " It comes from a fork, which can propose but not start.", *more)
    command = f"/expci start{' ID' if len(proposals) > 1 else ''}"
    words = " To run it in the lab before that, set the label {} or comment {}; both need write "
    start = phrase(f"{words}access.", Code(START_LABEL), Code(command))
    return (merging, start, *more)


# --- blocks that stay as they are -----------------------------------------------


class _Blocks:
    """Text that is put into the rendered comment last, so that nothing tidies it.

    The mark holds a control character, which no user text keeps.
    """

    def __init__(self) -> None:
        self._blocks: list[str] = []

    def hold(self, block: str) -> Markup:
        self._blocks.append(block)
        return safe(f"\0{len(self._blocks) - 1}\0")

    def put_into(self, text: str) -> str:
        return re.sub(r"\0(\d+)\0", lambda match: self._blocks[int(match[1])], text)


def fenced(lines: Sequence[str], language: str = "diff") -> str:
    """Lines in a fence that none of them can close, invisible characters as escapes."""
    printed = [printable(line.replace("\t", "    "))[:400] for line in lines]
    longest = max((len(run) for line in printed for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *printed, fence])
