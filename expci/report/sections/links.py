"""Where a reader can go on from a report: the addresses of an experiment's parts on the web."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from expci.core.lifecycle.transitions import Life
from expci.core.model.experiment import EXPERIMENTS_ROOT, Experiment
from expci.core.model.limits import HOME
from expci.core.model.results import Analysis
from expci.report.text.phrases import Link, Phrase, joined

DOCS = f"https://github.com/{HOME}/blob/main/docs/reports.md"


@dataclass(frozen=True)
class WebPlace:
    """`repository` is the repository's own address, `page` that of its published page, `directory`
    where the experiment is in the repository; "" for none, and for the usual one."""

    repository: str = ""
    page: str = ""
    directory: str = ""

    def directory_of(self, id: str) -> str:
        return self.directory or f"{EXPERIMENTS_ROOT}/{id}"


NOWHERE = WebPlace()


def links(place: WebPlace, experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    """The experiment's file, its trials, its runs, its page and the documentation."""
    return joined(
        [Link(url, label) for label, url in addresses(place, experiment, life, analysis)], " · "
    )


def addresses(
    place: WebPlace, experiment: Experiment, life: Life, analysis: Analysis | None
) -> tuple[tuple[str, str], ...]:
    """(label, address) of each part that has one."""
    repository, id = place.repository.rstrip("/"), quote(experiment.id, safe="")
    parts: list[tuple[str, str]] = []
    if repository and life.started is not None:
        commit = life.started.head or life.started.base
        directory = quote(place.directory_of(experiment.id))
        parts.append(("experiment", f"{repository}/tree/{quote(commit)}/{directory}"))
    if repository and analysis is not None:
        ledger = quote(analysis.ledger, safe="")
        parts.append(("trials", f"{repository}/tree/{ledger}/experiments/{id}/trials"))
    if repository:
        workflow = "" if experiment.slot else "/workflows/expci-lab.yml"
        parts.append(("runs", f"{repository}/actions{workflow}"))
    if place.page:
        parts.append(("page", f"{place.page.rstrip('/')}/{id}.html"))
    return (*parts, ("how to read this", DOCS))
