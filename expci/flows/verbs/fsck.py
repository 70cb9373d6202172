"""`expci fsck`: verify everything that the ledger holds; `--repair` derives what can be derived."""

from __future__ import annotations

from dataclasses import dataclass, field

from expci.core.model.content import plan_id as content_hash
from expci.core.model.trial import parse_line
from expci.errors import ExpciError, LedgerDamaged, LostRace
from expci.flows.context import Context
from expci.flows.experiment.gather import held_analysis
from expci.store import published
from expci.store.git import refs
from expci.store.git.remote import Update
from expci.store.ledger import paths, plans, segments
from expci.store.ledger.exposure import derive
from expci.store.ledger.history import violations
from expci.store.ledger.ledger import Ledger
from expci.store.published import Published


@dataclass
class Checked:
    """What was verified and what is wrong. Nothing wrong is an empty `problems`."""

    experiments: int = 0
    plans: int = 0
    events: int = 0
    trials: int = 0
    problems: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return {"schema": "expci.fsck/1", **self.__dict__}


def fsck(app: Context, *, repair: bool = False) -> Checked:
    """Read every byte of the ledger and hold it against its own hashes and rules."""
    done = Checked()
    found = app.store.remote.fetch(app.store.ledger_ref, refs.PUBLISHED)
    commit = found.get(app.store.ledger_ref)
    ledger = Ledger(app.git, commit)
    held = found.get(refs.PUBLISHED)
    if not _whole(app, commit, held, done):
        return done  # deriving anything from this ledger would make the loss permanent
    done.problems += list(violations(app.git, commit)) if commit else []
    done.problems += _strangers(ledger)
    for name in ledger.experiments:
        done.experiments += 1
        for check in (_plans, _events, _segments, _reports):
            try:
                check(ledger, name, done)
            except ExpciError as error:
                done.problems.append(f"{name}: {error}")
    _published(app, ledger, held, done, repair)
    return done


def _whole(app: Context, commit: str | None, held: str | None, done: Checked) -> bool:
    """Whether the ledger is there and holds what was published from it."""
    try:
        document = published.read_published(app.git, held) if held else Published()
    except LedgerDamaged:
        return True  # the document is what is broken; it can be derived again
    try:
        app.store.require_whole(commit, document)
    except LedgerDamaged as error:
        done.problems.append(str(error))
        return False
    return True


def _strangers(ledger: Ledger) -> list[str]:
    """Files that nothing of expci's put there."""
    known = {
        paths.analysis("*"), paths.report("*"), paths.events("*"), paths.promotion("*"),
        paths.promoted("*"), paths.shown("*"), paths.README,
        paths.HARVEST, paths.REVIEWED, paths.ANSWERED,
    }  # fmt: skip
    directories = {paths.QUARANTINE, paths.PULLS, paths.trials("*"), paths.amendments("*")}
    strange = []
    for path in ledger.entries:
        parts = path.split("/")
        general = "/".join(["*" if n == 1 and len(parts) > 2 else p for n, p in enumerate(parts)])
        is_plan = general.startswith(f"{paths.experiment('*')}/plan/")
        if general not in known and general.rpartition("/")[0] not in directories and not is_plan:
            strange.append(f"{path} does not belong into the ledger")
    return strange


def _plans(ledger: Ledger, name: str, done: Checked) -> None:
    prefix = f"{paths.experiment(name)}/plan/"
    ids = {path.removeprefix(prefix).split("/")[0] for path in ledger.entries if prefix in path}
    for plan_id in sorted(ids):
        plan = ledger.plan(name, plan_id)
        done.plans += 1
        if plan is None:
            continue
        root = f"{paths.plan(name, plan_id)}/files/"
        files = ledger.git.read_files(ledger.commit or "", root.rstrip("/"))
        if content_hash(files) != plan_id:
            done.problems.append(f"{name}: the plan {plan_id[:12]} does not hash to its own id")
        for path, blob in plans.entries(plan).items():
            if ledger.entries.get(path) != blob:
                done.problems.append(f"{name}: {path} is not what the plan froze")


def _events(ledger: Ledger, name: str, done: Checked) -> None:
    life = ledger.life(name)
    done.events += len(life.events)
    for plan_id in life.plans:
        ledger.plan(name, plan_id)


def _reports(ledger: Ledger, name: str, _: Checked) -> None:
    for path in (paths.analysis(name), paths.promotion(name)):
        held_analysis(ledger, path)


def _segments(ledger: Ledger, name: str, done: Checked) -> None:
    for directory in (paths.trials(name), paths.amendments(name)):
        position = 1
        seen: set[str] = set()
        for file in sorted(ledger.files(directory), key=_position):
            path = f"{directory}/{file}"
            data = ledger.read(path) or b""
            if file != segments.name_for(position, data):
                done.problems.append(f"{path} does not match its name, or one before it is missing")
            for line in data.splitlines():
                record = parse_line(line).id
                if record in seen:
                    done.problems.append(f"{path}: the record {record} stands twice")
                seen.add(record)
                position += 1
                done.trials += directory == paths.trials(name)


def _position(file: str) -> int:
    try:
        return segments.position(file)
    except ValueError as error:
        raise LedgerDamaged(str(error)) from error


def _published(
    app: Context, ledger: Ledger, commit: str | None, done: Checked, repair: bool
) -> None:
    """The published document must say what the ledger says."""
    try:
        held = published.read_published(app.git, commit) if commit else Published()
    except LedgerDamaged as error:
        done.problems.append(str(error))
        held = None
    try:
        wanted = derive(ledger)
    except ExpciError as error:
        done.problems.append(f"cannot derive what jobs may see: {error}")
        return
    if held is not None and held.experiments == wanted.experiments:
        return
    if held is not None:
        done.problems.append(f"{refs.PUBLISHED} does not say what the ledger says")
    if repair:
        new = published.write_published(app.git, wanted)
        try:
            app.store.remote.push([Update(refs.PUBLISHED, new, commit or "")])
        except LostRace as error:
            raise LostRace("another writer was first; run fsck again") from error
        done.repaired.append(f"{refs.PUBLISHED} derived from the ledger")
