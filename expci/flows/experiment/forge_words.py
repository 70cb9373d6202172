"""What the forge should say of an experiment: pure, from the analysis on record."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from expci.core.lifecycle.transitions import Life, State
from expci.core.model.results import Analysis
from expci.flows.experiment.alert_issue import alert_text
from expci.flows.experiment.gather import Gathered
from expci.flows.experiment.open_promotion import promotion_body
from expci.flows.experiment.stored_analysis import last_look
from expci.forge.ports import CheckRun, Conclusion
from expci.report.documents import render
from expci.report.sections.links import NOWHERE, WebPlace
from expci.store.ledger.ledger import Ledger
from expci.store.published import days_without_passes

_WON = (State.PROMOTING, State.WATCHING, State.PROMOTED)


@dataclass(frozen=True)
class ForgeWords:
    """`promotion` is title and body of the promotion's pull request, `alert` of the issue.

    `events` counts those of the experiment's life.
    """

    report: str | None
    check: CheckRun | None
    promotion: tuple[str, str] | None
    alert: tuple[str, str] | None
    events: int

    @property
    def digest(self) -> str:
        check = asdict(self.check) if self.check else None
        text = json.dumps([self.report, check, self.promotion], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def forge_words(
    ledger: Ledger,
    gathered: Gathered,
    conflicts: tuple[str, ...] = (),
    *,
    in_comments: bool = False,
    place: WebPlace = NOWHERE,
    waiting: str = "",
) -> ForgeWords:
    """From the analysis on record: a look that brings nothing new changes nothing.

    `conflicts` are the paths that keep the promotion from merging; `in_comments` is whether
    commands are read in comments, `place` where the links of the report lead, `waiting` what to say
    of records that stay in the inbox.
    """
    analysis = last_look(ledger, gathered.name)
    experiment, life = gathered.plan.experiment, gathered.life
    if analysis is None:
        return ForgeWords(None, None, None, alert_text(gathered, None), len(life.events))
    report = render.comment(
        experiment,
        life,
        analysis,
        base_branch=gathered.base.branch,
        in_comments=in_comments,
        place=place,
        waiting=waiting,
        unwatched=days_without_passes(gathered.snapshot.published, gathered.situation.now),
    )
    promotion = None
    if life.state is State.PROMOTING:
        as_stored = replace(gathered, situation=replace(gathered.situation, analysis=analysis))
        title = render.promote_title(experiment, analysis)
        promotion = title, promotion_body(as_stored, place, conflicts)
    return ForgeWords(
        report=report,
        check=_check(gathered, analysis, report),
        promotion=promotion,
        alert=alert_text(gathered, analysis),
        events=len(life.events),
    )


def _check(gathered: Gathered, analysis: Analysis, report: str) -> CheckRun:
    sentence = render.first_sentence(gathered.plan.experiment, gathered.life, analysis)
    return CheckRun(
        name=f"expci / {gathered.name}",
        conclusion=_conclusion(gathered.life, analysis),
        title=sentence[:250],
        summary=report,
    )


def _conclusion(life: Life, analysis: Analysis) -> Conclusion:
    if life.state is State.ROLLED_BACK or analysis.decision.verdict in ("rollback", "invalid"):
        return "failure"
    return "success" if life.state in _WON else "neutral"
