"""`expci fsck`: verify everything that the ledger holds; `--repair` derives what can be derived."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from expci.core.analysis.document import load_analysis
from expci.core.lifecycle.transitions import State
from expci.core.model.content import plan_id as content_hash
from expci.errors import ExpciError, InvalidRecord, LedgerDamaged, LostRace
from expci.flows.context import Context
from expci.flows.experiment.forge_state import parse_forge_state, parse_proposal
from expci.flows.lookup import waiting_words
from expci.flows.verbs.fsck_records import RecordCheck
from expci.report.sections.removal import removal_words
from expci.store import published
from expci.store.derived import Derived
from expci.store.git import refs
from expci.store.git.remote import Update
from expci.store.inbox.read_batches import collect, refused_of
from expci.store.ledger import (
    arrivals,
    artifact_cursor,
    comment_cursor,
    paths,
    plans,
    records,
    removals,
    segments,
    uncounted,
)
from expci.store.ledger import reviewed_pull_requests as reviewed
from expci.store.ledger.exposure import derive
from expci.store.ledger.fold import fold_inbox
from expci.store.ledger.history import violations
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.settled_experiments import parse_settled
from expci.store.ledger.source_readings import parse_source_readings
from expci.store.ledger.transaction import LedgerChange, Snapshot
from expci.store.published import Published

_DOCUMENTS: Mapping[str, Callable[[bytes], object]] = {
    paths.HARVEST: artifact_cursor.parse_artifact_cursor,
    paths.REVIEWED: reviewed.parse_reviewed,
    paths.SETTLED: parse_settled,
    paths.ANSWERED: comment_cursor.parse_comment_cursor,
    paths.UNCOUNTED: uncounted.parse_uncounted,
}


@dataclass
class Checked:
    """What was verified and what is wrong. Nothing wrong is an empty `problems`.

    `notes` are no faults of the ledger, but what whoever reads it should know.
    """

    experiments: int = 0
    plans: int = 0
    events: int = 0
    trials: int = 0
    problems: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return {"schema": "expci.fsck/1", **self.__dict__}


def fsck(app: Context, *, repair: bool = False) -> Checked:
    """Read every byte of the ledger and compare it with its own hashes and rules."""
    done = Checked()
    patterns = (app.store.ledger_ref, refs.PUBLISHED, f"{refs.INBOX}/*")
    there = app.store.read_refs(*patterns)
    commit, document = there.get(app.store.ledger_ref), there.get(refs.PUBLISHED)
    ledger = Ledger(app.git, commit, Derived(app.git, there.get(refs.DERIVED)))
    if not _is_whole(app, ledger, document, done):
        return done  # deriving anything from this ledger would make the loss permanent
    done.problems += list(violations(app.git, commit)) if commit else []
    done.problems += _strangers(ledger)
    for name in ledger.experiments:
        done.experiments += 1
        for check in (_plans, _events, _segments, _arrivals, _removals, _refused):
            try:
                check(ledger, name, done)
            except ExpciError as error:
                done.problems.append(f"{name}: {error}")
        _watch(app, ledger, name, done)
    done.problems += [*_in_the_way(app), *_symbolic(app)]
    _inbox(app, ledger, {ref: oid for ref, oid in there.items() if _is_inbox(ref)}, done)
    _documents(app, ledger, done, repair)
    _published(app, ledger, document, done, repair)
    return done


def _in_the_way(app: Context) -> Iterator[str]:
    """Refs below those that expci writes: git takes no ref below another one."""
    for ref in (app.store.ledger_ref, refs.PUBLISHED):
        for name in sorted(app.store.remote.names(f"{ref}/*"))[:3]:
            printable = name.encode(errors="backslashreplace").decode()
            yield (
                f"the ref {printable} is in the way of {ref}, which cannot be written: "
                f"delete it (`git push {app.store.remote.name} :{printable}`)"
            )


def _symbolic(app: Context) -> Iterator[str]:
    """Refs of expci's that stand for other refs, so that nothing is written to them."""
    ours = (app.store.ledger_ref, refs.PUBLISHED, refs.DERIVED)
    for ref, target in sorted(app.store.remote.targets(*ours).items()):
        if not refs.is_own(target):
            yield (
                f"the ref {ref} stands for {target}, so nothing is written to it: delete it where "
                f"the repository is (`git symbolic-ref -d {ref}`)"
            )


def _is_inbox(ref: str) -> bool:
    return ref.startswith(refs.INBOX)


def _inbox(app: Context, ledger: Ledger, waiting: Mapping[str, str], done: Checked) -> None:
    """What has arrived, and those of it that no pass will take."""
    if waiting:
        done.notes.append(f"inbox: {len(waiting)} waiting for the next pass")
    folded = fold_inbox(ledger, collect(app.git, waiting), app.clock())
    for name, by_arm in sorted(folded.waiting_by_arm.items()):
        done.notes.append(f"{name}: {waiting_words(by_arm)}")


def _is_whole(app: Context, ledger: Ledger, document: str | None, done: Checked) -> bool:
    """Whether the ledger is there and is still the one that it was."""
    continuity, commit = app.store.continuity, ledger.commit
    content = Published()
    try:
        content = published.read_published(app.git, document) if document else content
    except LedgerDamaged as error:
        done.problems.append(str(error))  # it can be derived again
    try:
        continuity.require_whole(commit, content)
        continuity.require_not_moved_back(commit, continuity.kept)
        continuity.require_reviewed(commit)
        if commit is None:
            continuity.require_unused(ledger)
        elif continuity.kept is None:
            continuity.require_no_newer_traces(ledger)
    except LedgerDamaged as error:
        done.problems.append(str(error))
        return False
    return True


def _strangers(ledger: Ledger) -> list[str]:
    """Files that nothing of expci's put there."""
    ours = {
        paths.analysis("*"), paths.report("*"), paths.events("*"), paths.promotion("*"),
        paths.promoted("*"), paths.forge_state("*"), paths.arrivals("*"), paths.sources("*"),
        paths.removed("*"), paths.README, paths.proposal("*"), paths.looks("*"),
        paths.HARVEST, paths.REVIEWED, paths.ANSWERED, paths.UNCOUNTED, paths.ACCEPTED,
    }  # fmt: skip
    directories = {
        paths.QUARANTINE, paths.PULLS, paths.trials("*"), paths.amendments("*"),
        paths.final("*", "").removesuffix("/.json"),
    }  # fmt: skip
    strange = []
    for path in ledger.entries:
        parts = path.split("/")
        general = "/".join(["*" if n == 1 and len(parts) > 2 else p for n, p in enumerate(parts)])
        is_plan = general.startswith(f"{paths.experiment('*')}/plan/")
        if general not in ours and general.rpartition("/")[0] not in directories and not is_plan:
            strange.append(f"{path} does not belong in the ledger")
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
        cases = plan.experiment.cases.frozen if plan.experiment.cases else ()
        if content_hash(files, cases) != plan_id:
            done.problems.append(f"{name}: the plan {plan_id[:12]} does not hash to its own id")
        for path, blob in plans.entries(plan).items():
            if ledger.entries.get(path) != blob:
                done.problems.append(f"{name}: {path} is not what the plan froze")


def _events(ledger: Ledger, name: str, done: Checked) -> None:
    life = ledger.life(name)
    done.events += len(life.events)
    for plan_id in life.plans:
        ledger.plan(name, plan_id)


def _segments(ledger: Ledger, name: str, done: Checked) -> None:
    kinds = (
        (paths.trials(name), records.read_trials),
        (paths.amendments(name), records.read_amendments),
    )
    for directory, read in kinds:
        for file in ledger.files(directory):
            _position(file)
        check = RecordCheck(ledger, directory)
        check.run(read)
        done.trials += check.lines if directory == paths.trials(name) else 0
        done.problems += check.problems


def _arrivals(ledger: Ledger, name: str, done: Checked) -> None:
    path = paths.arrivals(name)
    for number, line in enumerate((ledger.read(path) or b"").splitlines(), 1):
        if why := arrivals.why_no_note(line):
            done.problems.append(
                f"{path}:{number} is not a record of when amendments arrived: {why}"
            )


def _removals(ledger: Ledger, name: str, done: Checked) -> None:
    """What was removed on purpose; the analysis of each such plan is still there."""
    path = paths.removed(name)
    for number, line in enumerate((ledger.read(path) or b"").splitlines(), 1):
        if why := removals.why_no_removal(line):
            done.problems.append(f"{path}:{number} is not a record of what was removed: {why}")
    for removal in ledger.removals(name):
        is_here = ledger.git.resolve(removal.ledger) is not None
        done.notes.append(f"{name}: {removal_words(name, removal, is_here=is_here)}")


def _position(file: str) -> int:
    try:
        return segments.position(file)
    except ValueError as error:
        raise LedgerDamaged(str(error)) from error


def _refused(ledger: Ledger, name: str, done: Checked) -> None:
    """Records that are not counted though somebody sent them."""
    for code, by_arm in sorted(ledger.refused(name).items()):
        arms = ", ".join(f"{arm or 'unknown arm'} {n}" for arm, n in sorted(by_arm.items()))
        done.notes.append(f"{name}: {sum(by_arm.values())} records were refused ({code}): {arms}")


def _watch(app: Context, ledger: Ledger, name: str, done: Checked) -> None:
    """A promotion that is watched can be undone only while its merge can be read."""
    try:
        life = ledger.life(name)
    except LedgerDamaged:
        return  # reported already
    promoted = life.promoted
    if life.state is not State.WATCHING or promoted is None:
        return
    if refs.promoted(name) not in app.store.remote.names(refs.promoted(name)):
        done.notes.append(
            f"{name}: the server does not hold {refs.promoted(name)}, a copy of the merge that "
            "promoted it: once the base branch is rewritten, it cannot be undone automatically"
        )
    if app.git.resolve(promoted.merge) is None:
        app.store.remote.fetch(refs.promoted(name), f"{refs.HEADS}*")
    if app.git.resolve(promoted.merge) is None:
        done.problems.append(
            f"{name}: the merge {promoted.merge[:12]} that promoted it no longer exists: the "
            "base branch's history was rewritten. A harmful promotion must be undone by hand"
        )


def _documents(app: Context, ledger: Ledger, done: Checked, repair: bool) -> None:
    """Files beside plans, events and records: what is damaged is derived again, or set aside."""
    damaged = {path: why for path, why in _damaged(ledger, ledger.read_many) if why}
    beside = {path: why for path, why in _damaged(ledger, ledger.derived.read_many) if why}
    done.problems += [f"{path} cannot be read: {why}" for path, why in damaged.items()]
    done.problems += [f"{refs.DERIVED}: {path}: {why}" for path, why in beside.items()]
    if not (damaged or beside) or not repair:
        return

    def think(snapshot: Snapshot) -> LedgerChange | None:
        gone = [path for path in damaged if path in snapshot.ledger.entries]
        changes: dict[str, bytes | None] = dict.fromkeys(gone)
        for path in gone:
            data = snapshot.ledger.read(path) or b""
            changes[paths.quarantined(plans.digest(data))] = _set_aside(path, data)
        words = "Repair: set damaged files aside"
        return LedgerChange.of(words, changes, derived=dict.fromkeys(beside))

    app.store.transact(app.clock(), think)
    done.repaired += [f"{path} set aside; the next pass derives it again" for path in damaged]
    done.repaired += [f"{refs.DERIVED}: {path} removed; the next pass makes it" for path in beside]


def _set_aside(path: str, data: bytes) -> bytes:
    document = {"subject": path, "reason": "damaged", "sha256": plans.digest(data)}
    excerpt = data[:300].decode(errors="backslashreplace")
    return json.dumps({**document, "excerpt": excerpt, "code": "damaged"}).encode() + b"\n"


def _damaged(
    ledger: Ledger, read_many: Callable[[Iterable[str]], Mapping[str, bytes]]
) -> Iterator[tuple[str, str]]:
    """Each file beside plans, events and records, and what is wrong with it ("" nothing)."""
    readers: dict[str, Callable[[bytes], object]] = dict(_DOCUMENTS)
    for name in ledger.experiments:
        readers[paths.analysis(name)] = readers[paths.promotion(name)] = load_analysis
        readers[paths.forge_state(name)] = parse_forge_state
        readers[paths.sources(name)] = parse_source_readings
        readers[paths.promoted(name)] = _object
        final = paths.final(name, "").removesuffix("/.json")
        readers |= {f"{final}/{file}": load_analysis for file in ledger.files(final)}
        readers[paths.proposal(name)] = parse_proposal
    readers |= {f"{paths.PULLS}/{file}": _object for file in ledger.files(paths.PULLS)}
    for file in ledger.files(paths.QUARANTINE):
        readers[f"{paths.QUARANTINE}/{file}"] = _quarantined
    for path, data in read_many(readers).items():
        yield path, _fault(readers[path], data)


def _fault(reader: Callable[[bytes], object], data: bytes) -> str:
    try:
        reader(data)
    except (ExpciError, ValueError, RecursionError) as error:
        return str(error)[:300]
    return ""


def _object(data: bytes) -> object:
    document = json.loads(data)
    if not isinstance(document, dict):
        raise InvalidRecord("not a JSON object")
    return document


def _quarantined(data: bytes) -> object:
    if (item := refused_of(data)) is None:
        raise InvalidRecord("not what expci keeps of a refused record")
    return item


def _agree(present: Published, wanted: Published) -> bool:
    """Whether they say the same; what an earlier version wrote names no `head`."""
    if present.experiments.keys() != wanted.experiments.keys():
        return False
    pairs = ((item, wanted.experiments[name]) for name, item in present.experiments.items())
    return all(item == (new if item.head else replace(new, head="")) for item, new in pairs)


def _published(
    app: Context, ledger: Ledger, commit: str | None, done: Checked, repair: bool
) -> None:
    """The published document must say what the ledger says."""
    try:
        present = published.read_published(app.git, commit) if commit else Published()
    except LedgerDamaged:
        present = None  # named already
    try:
        wanted = derive(ledger)
    except ExpciError as error:
        done.problems.append(f"cannot derive what jobs may see: {error}")
        return
    if present is not None and _agree(present, wanted):
        return
    if present is not None:
        done.problems.append(f"{refs.PUBLISHED} differs from the ledger")
    if repair:
        new = published.write_published(app.git, wanted)
        try:
            app.store.remote.push([Update(refs.PUBLISHED, new, commit or "")])
        except LostRace as error:
            raise LostRace("another writer was first; run fsck again") from error
        done.repaired.append(f"{refs.PUBLISHED} derived from the ledger")
