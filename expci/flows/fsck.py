"""`expci fsck`: verify everything that the ledger holds; `--repair` derives what can be derived."""

from __future__ import annotations

from dataclasses import dataclass, field

from expci.core.content import plan_id as content_hash
from expci.core.trials import parse_line
from expci.errors import ExpciError, LedgerDamaged, LostRace
from expci.flows.context import Context
from expci.store import paths, plans, published, refs, segments
from expci.store.ledger import Ledger
from expci.store.published import Published
from expci.store.remote import Update
from expci.store.transaction import derive


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
    for name in ledger.experiments:
        done.experiments += 1
        for check in (_plans, _events, _segments):
            try:
                check(ledger, name, done)
            except ExpciError as error:
                done.problems.append(f"{name}: {error}")
    _published(app, ledger, found.get(refs.PUBLISHED), done, repair)
    return done


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
        missing = [path for path in plans.entries(plan) if path not in ledger.entries]
        done.problems += [f"{name}: {path} is missing" for path in missing]


def _events(ledger: Ledger, name: str, done: Checked) -> None:
    life = ledger.life(name)
    done.events += len(life.events)
    for plan_id in life.plans:
        ledger.plan(name, plan_id)


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
        held = published.read(app.git, commit) if commit else Published()
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
        new = published.write(app.git, wanted)
        try:
            app.store.remote.push([Update(refs.PUBLISHED, new, commit or "")])
        except LostRace as error:
            raise LostRace("another writer was first; run fsck again") from error
        done.repaired.append(f"{refs.PUBLISHED} derived from the ledger")
