"""What one run may speak for, over all of its artifacts."""

from __future__ import annotations

from expci.core.model.trial import Trial
from expci.store.inbox.read_batches import Arrived, collect
from expci.store.ledger.fold import fold_inbox
from expci.store.ledger.run_quotas import (
    LAB_TRIALS_A_RUN,
    TRIALS_A_JOB,
    RunQuotas,
    quotas_of,
    within_quotas,
)
from expci.store.ledger.transaction import LedgerChange, Snapshot
from expci.store.ledger.vouching import UNVERIFIED
from support.ledger_samples import AT, send, start, store, trial
from support.repositories import Repository


def quotas(units: tuple[str, ...] = (), lab: int = 0) -> RunQuotas:
    return RunQuotas(lambda experiment, run: (units, lab))


def test_a_run_speaks_for_as_many_units_as_it_has_jobs() -> None:
    own = quotas(("run-1",))
    live = [trial(mode="live", unit=f"run-{i}") for i in range(4)]
    assert own.admits(live[1], 42, jobs=1)  # it is in the ledger already
    assert not own.admits(live[2], 42, jobs=1)
    fresh = quotas()
    assert [fresh.admits(item, 42, jobs=2) for item in live] == [True, True, False, False]
    assert fresh.admits(live[0], 43, jobs=2), "another run has a quota of its own"
    assert all(quotas().admits(item, 42, jobs=None) for item in live)


def test_a_run_has_so_many_lab_trials() -> None:
    own = quotas(lab=LAB_TRIALS_A_RUN - 1)
    assert own.admits(trial(mode="lab"), 42, jobs=None)
    assert not own.admits(trial(mode="lab"), 42, jobs=None)


def arrived(record: Trial) -> Arrived:
    return Arrived(record, record.line().encode(), "artifact")


def excluded(items: list[Trial], jobs: int | None = None) -> list[str | None]:
    passed = list(within_quotas(quotas(), 42, jobs, map(arrived, items)))
    reasons = []
    for item in passed:
        assert isinstance(item.record, Trial)
        assert item.line == item.record.line().encode()
        reasons.append(item.record.excluded)
    return reasons


def test_what_is_more_is_kept_and_does_not_count() -> None:
    live = [trial(mode="live", unit="run-1") for _ in range(TRIALS_A_JOB + 2)]
    assert excluded(live) == [None] * TRIALS_A_JOB + [UNVERIFIED] * 2
    units = [trial(mode="live", unit=f"run-{i}") for i in range(3)]
    assert excluded(units, jobs=2) == [None, None, UNVERIFIED]
    others = [trial(mode="live", excluded="missing_metric") for _ in range(TRIALS_A_JOB + 2)]
    assert excluded(others) == ["missing_metric"] * len(others)


def test_what_the_ledger_holds_of_a_run_is_part_of_its_quota(repository: Repository) -> None:
    place = store(repository.path)
    start(place)
    of_42 = {"run_id": "42"}
    send(
        place,
        trial(mode="live", unit="run-1", context=of_42),
        trial(mode="live", unit="run-2", context=of_42, excluded="missing_metric"),
        trial(mode="lab", unit="u", context=of_42),
        trial(mode="live", unit="run-3", context={"run_id": "420"}),
    )

    def think(snapshot: Snapshot) -> LedgerChange:
        folded = fold_inbox(snapshot.ledger, collect(place.git, snapshot.inbox), AT)
        return LedgerChange.of("fold", folded.changes)

    own = quotas_of(place.transact(AT, think, inbox=True)[0].ledger)
    assert own.present("speed", 42) == (["run-1"], 1)
    assert own.present("speed", 420) == (["run-3"], 0)
    assert own.present("speed", 7) == ([], 0)
    assert own.present("other", 42) == ([], 0)
