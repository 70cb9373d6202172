"""The short comment that answers a command in a comment."""

from __future__ import annotations

from dataclasses import dataclass

from expci.core.lifecycle.transitions import Life
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis
from expci.report.documents import template_values
from expci.report.documents.environment import as_markdown, safe
from expci.report.documents.render import marker
from expci.report.sections.registry import ReportParts, section_values
from expci.report.text.phrases import Words, spoken


@dataclass(frozen=True)
class AnsweredExperiment:
    """The experiment whose report stands below the sentence."""

    experiment: Experiment
    life: Life
    analysis: Analysis | None
    base_branch: str


def mark(comment: str) -> str:
    """The hidden line by which the answer to a comment (its id), or to a label, is recognised."""
    return marker("answer", comment)


def answer_comment(
    sentence: Words, comment: str, standing: AnsweredExperiment | None = None
) -> str:
    """`sentence`, then the newest report in short where there is one to show."""
    values = {} if standing is None else _short(standing)
    return as_markdown(
        "answer.md.jinja",
        **({"headline": ""} | values),
        sentence=spoken(sentence) if isinstance(sentence, str) else sentence,
        marker=safe(mark(comment)),
    )


def _short(standing: AnsweredExperiment) -> dict[str, object]:
    experiment, life, analysis = standing.experiment, standing.life, standing.analysis
    parts = ReportParts(0, numbers=False, plan=False, trials=False, criteria=False, most=15)
    return {
        **template_values.common_values(experiment, life, analysis, standing.base_branch),
        **section_values(experiment, life, analysis, parts),
    }
