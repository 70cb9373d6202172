"""What is kept of segments is believed where it is whole and of that very blob, else made again."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from expci.core.model.trial import derived_trial_id
from expci.store.inbox.read_batches import Arrived, Inbox
from expci.store.ledger import ledger as ledger_module
from expci.store.ledger import paths, segment_cache, segments
from expci.store.ledger.fold import fold_inbox
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.segment_cache import SegmentCache
from expci.store.ledger.transaction import LedgerChange, Store
from support.columns import plain
from support.ledger_samples import AT, start, store, trial
from support.repositories import Repository

OID, OTHER = "1" * 40, "2" * 40


def content(cache: SegmentCache, oid: str) -> bytes | None:
    data = cache.read(oid)
    return None if data is None else bytes(data)


@pytest.fixture
def kept(tmp_path: Path) -> SegmentCache:
    cache = SegmentCache(tmp_path, "columns", 1)
    cache.write(OID, b"made of it", {OID})
    return cache


def test_what_was_kept_is_there_for_the_same_blob_kind_and_form(
    kept: SegmentCache, tmp_path: Path
) -> None:
    assert content(kept, OID) == b"made of it"
    assert content(kept, OTHER) is None
    assert content(SegmentCache(tmp_path, "ids", 1), OID) is None
    assert content(SegmentCache(tmp_path, "columns", 2), OID) is None


def test_a_file_that_is_not_what_was_written_counts_as_none(
    kept: SegmentCache, tmp_path: Path
) -> None:
    [file] = (tmp_path / segment_cache.DIRECTORY).iterdir()
    whole = file.read_bytes()
    file.with_name(f"{OTHER}.columns").write_bytes(whole)
    assert content(kept, OTHER) is None
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert content(kept, OID) is None
        file.write_bytes(whole[:place])
        assert content(kept, OID) is None
    file.unlink()
    os.mkfifo(file)
    assert content(kept, OID) is None
    kept.write(OID, b"made again", {OID})
    assert content(kept, OID) == b"made again"


def test_another_version_of_expci_makes_its_own(
    kept: SegmentCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expci.__version__", "0.0.1")
    assert content(SegmentCache(tmp_path, "columns", 1), OID) is None


def test_where_nothing_can_be_written_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / segment_cache.DIRECTORY).write_text("a file in the way")
    cache = SegmentCache(tmp_path, "columns", 1)
    cache.write(OID, b"made of it", {OID})
    assert content(cache, OID) is None


def test_what_nobody_needs_makes_room_and_what_does_not_fit_is_left(
    kept: SegmentCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_cache, "MOST_BYTES", 100)
    kept.write(OTHER, b"x" * 30, {OID, OTHER})
    assert (content(kept, OID), content(kept, OTHER)) == (b"made of it", None)
    kept.write(OTHER, b"x" * 30, {OTHER})
    assert (content(kept, OID), content(kept, OTHER)) == (None, b"x" * 30)


def with_segments(target: Store, *parts: bytes) -> Ledger:
    """The ledger with these segments of trials."""
    files, first = dict[str, bytes | None](), 1
    for data in parts:
        files[f"{paths.trials('speed')}/{segments.name_for(first, data)}"] = data
        first += data.count(b"\n")
    return target.transact(AT, lambda _: LedgerChange.of("trials", files))[0].ledger


def test_an_analysis_reads_what_is_kept_and_nothing_depends_on_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "SMALLEST", 1)
    target = store(repository.path)
    start(target)
    lines = [
        replace(trial(), id=derived_trial_id(str(n)), unit=f"u{n}").line() + "\n" for n in range(9)
    ]
    parts = ["".join(lines[:4]).encode() + b"damaged\n", "".join(lines[4:]).encode()]
    ledger = with_segments(target, *parts)
    kept = target.git.private_dir / segment_cache.DIRECTORY
    first = plain(ledger.columns("speed"))
    assert len(list(kept.iterdir())) == 2
    bare = store(repository.path).snapshot().ledger
    monkeypatch.setattr(Ledger, "_bytes", lambda *_: pytest.fail("a segment was read again"))
    assert plain(bare.columns("speed")) == first
    assert bare.refused("speed") == {"damaged": {"": 1}}  # known without reading them again
    monkeypatch.undo()
    monkeypatch.setattr(ledger_module, "SMALLEST", 1)
    for file in kept.iterdir():
        file.write_bytes(b"hostile" * 99)
    again = store(repository.path).snapshot().ledger
    assert plain(again.columns("speed")) == first
    assert len(again.columns("speed")) == 9


def test_what_arrives_is_told_from_what_is_there_without_reading_all(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "SMALLEST", 1)
    target = store(repository.path)
    start(target)
    there, new = (
        [trial(id=derived_trial_id(f"{word} {n}")) for n in range(4)] for word in ("there", "new")
    )
    data = ["".join(one.line() + "\n" for one in part).encode() for part in (there[:2], there[2:])]
    ledger = with_segments(target, *data)
    changed = replace(there[3], metrics={"duration_s": 9.0})
    arrived = [Arrived(one, one.line().encode(), "ref") for one in (there[0], changed, *new)]
    expected = fold_inbox(ledger, Inbox(tuple(arrived), (), {}), AT)
    assert (expected.added, len(expected.refused)) == ({"speed": 4}, 1)
    assert fold_inbox(ledger, Inbox(tuple(arrived), (), {}), AT) == expected  # by the index
    read, whole = list[str](), Ledger._bytes

    def noted(own: Ledger, oid: str) -> bytes:
        read.append(oid)
        return whole(own, oid)

    monkeypatch.setattr(Ledger, "_bytes", noted)
    later = store(repository.path).snapshot().ledger
    wanted = {new[0].id, there[3].id}
    assert later.lines_with_ids(paths.trials("speed"), wanted).keys() == {there[3].id}
    assert len(read) == 1
