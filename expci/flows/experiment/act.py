"""Act: make an event so in the world, then put it on record.

Each act looks for what an earlier, interrupted pass already did before it does anything:
commits are the same bytes for the same inputs, pull requests go by their branch, reverts by
their trailer. So a pass that died anywhere is finished by the next one.
"""

from __future__ import annotations

import json

from expci.core.analysis.document import dump_analysis
from expci.core.model import events
from expci.core.model.events import Event
from expci.flows.context import Context
from expci.flows.experiment.branches import keep_backup, keep_merge
from expci.flows.experiment.gather import Gathered
from expci.flows.experiment.ledger_reports import report_files
from expci.flows.experiment.open_promotion import open_promotion
from expci.flows.experiment.revert import revert_promotion
from expci.store.ledger import paths, plans
from expci.store.ledger.fold import Changes
from expci.store.ledger.transaction import LedgerChange, Snapshot

STOPS_EXPOSURE = (
    events.ArmDropped,
    events.RolledBack,
    events.Stopped,
    events.Expired,
    events.Paused,
)


def enact(app: Context, gathered: Gathered, event: Event) -> Event | None:
    """Do what `event` stands for and record it: the event as recorded, with what was done.

    `None` when somebody else changed the experiment's life meanwhile.
    """
    if isinstance(event, STOPS_EXPOSURE):
        app.store.withdraw(gathered.snapshot, [gathered.name])
    files = report_files(gathered)  # with the event, so that what it rests on is on record
    match event:
        case events.PromoteOpened():
            event = open_promotion(app, gathered, event)
            files |= _winning_analysis(gathered)
        case events.Promoted():
            files |= _after_promotion(app, gathered, event)
        case events.Reverted():
            event = revert_promotion(app, gathered, event)
    return event if record_event(app, gathered, event, files) else None


def record_event(
    app: Context, gathered: Gathered, event: Event, files: Changes | None = None
) -> bool:
    """Append the event unless somebody else changed the experiment's life first."""
    name = gathered.name

    def think(snapshot: Snapshot) -> LedgerChange | None:
        if snapshot.ledger.life(name) != gathered.life:
            return None
        changes = snapshot.ledger.with_events(name, [app.named(event)]) | (files or {})
        return LedgerChange.of(f"{name}: {event.word}\n\n{event.why}", changes)

    return app.store.transact(app.clock(), think)[1]


def _winning_analysis(gathered: Gathered) -> Changes:
    analysis = gathered.situation.analysis
    return {paths.promotion(gathered.name): dump_analysis(analysis)} if analysis else {}


def _after_promotion(app: Context, gathered: Gathered, event: events.Promoted) -> Changes:
    """What watching jobs compare with: the varied paths as the merge left them."""
    keep_backup(app, gathered.name, event.parent)
    keep_merge(app, gathered.name, event.merge)
    content = app.git.read_paths(event.merge, gathered.plan.varied)
    return {paths.promoted(gathered.name): json.dumps(plans.dump_paths(content)).encode() + b"\n"}
