"""What `export` writes, `record --from` reads back: the same trials, none twice."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expci.core.model.content import Blob
from expci.core.model.trial import Amendment, Trial, amended, derived_trial_id, timestamp
from expci.errors import ExpciError
from expci.flows.verbs.export import Export, export
from expci.runner.record.importing import Target, stream_lines, stream_rows
from expci.store import parquet
from expci.store.git.git import Git
from expci.store.ledger import paths, segments
from expci.store.ledger.ledger import Ledger
from support.command import expci_command
from support.properties import examples
from support.repositories import project
from support.stage import Stage


def import_file(stage: Stage, path: Path) -> str:
    done = expci_command(stage.repository.path, "record", "speed", "--from", str(path))
    assert done.returncode == 0, done.stderr
    return done.stdout


def exported(stage: Stage, form: str, path: Path) -> Path:
    if form == "parquet":
        with path.open("wb") as file:
            export(stage.context, "speed").write_parquet(file)
    else:
        path.write_text("".join(export(stage.context, "speed").lines(form)))
    return path


def trials(stage: Stage) -> dict[str, Trial]:
    ledger = stage.context.store.snapshot().ledger.trials("speed")
    assert len({trial.id for trial in ledger}) == len(ledger)
    return {trial.id: trial for trial in ledger}


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_into_the_experiment_that_it_came_from(running: Stage, form: str, tmp_path: Path) -> None:
    running.pairs(6, 0.9)
    running.auto()
    before = trials(running)
    import_file(running, exported(running, form, tmp_path / f"out.{form}"))
    running.auto()
    assert trials(running) == before


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_while_the_trials_still_wait_in_the_inbox(
    running: Stage, form: str, tmp_path: Path
) -> None:
    sent = running.pairs(6, 0.9)
    import_file(running, exported(running, form, tmp_path / f"out.{form}"))
    running.auto()
    assert sorted(trials(running)) == sorted(trial.id for trial in sent)


def test_into_another_repository_with_the_same_plan(running: Stage, tmp_path: Path) -> None:
    running.pairs(6, 0.9)
    running.auto()
    file = exported(running, "jsonl", tmp_path / "out.jsonl")
    columns = exported(running, "parquet", tmp_path / "out.parquet")
    (tmp_path / "other").mkdir()
    other = Stage(project(tmp_path / "other"))
    other.begin()
    assert other.life().plan == running.life().plan
    import_file(other, file)
    import_file(other, columns)
    other.auto()
    copied, original = trials(other), trials(running)
    assert copied.keys() == original.keys()
    for name, trial in original.items():
        assert (copied[name].arm, copied[name].metrics) == (trial.arm, trial.metrics)
        assert (copied[name].block, copied[name].started) == (trial.block, trial.started)
    assert exported(other, "jsonl", tmp_path / "again.jsonl").read_text() == file.read_text()


# --- any trial -------------------------------------------------------------------------

PLAN = "a" * 64
TARGET = Target("speed", PLAN, ("control", "treatment"), "2026-11-22T10:00:00.000Z")
START = datetime(2026, 11, 22, 10, tzinfo=UTC)
NAMES = st.sampled_from(["duration_s", "score", "cost_usd"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.one_of(
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.sampled_from(["'=1", "''-x", "=1+1", " padded ", "a,b", 'say "so"', "a\u2028b", "a\x85b"]),
)


def is_no_number(text: str) -> bool:
    """CSV has no types: a text that reads as a number comes back as one."""
    try:
        float(text)
    except ValueError:
        return True
    return False


@st.composite
def ledgers(draw: st.DrawFn) -> tuple[list[Trial], list[Amendment]]:
    trials = [
        Trial(
            id=derived_trial_id(str(number)),
            experiment="speed",
            plan=PLAN,
            mode=draw(st.sampled_from(["lab", "live"])),
            arm=draw(st.sampled_from(["control", "treatment"])),
            unit=draw(TEXTS),
            started=timestamp(START + timedelta(milliseconds=draw(st.integers(0, 10**9)))),
            block=draw(st.none() | TEXTS),
            seq=draw(st.integers(0, 2**31 - 1)),
            order=draw(st.integers(0, 3)),
            attempt=draw(st.integers(0, 3)),
            status=draw(st.sampled_from(["ok", "failed", "timeout", "cancelled", "error", "lost"])),
            excluded=draw(st.sampled_from([None, "file_changed", "not_exposed"])),
            metrics=draw(st.dictionaries(NAMES, NUMBERS)),
            covariates={
                **draw(st.dictionaries(st.sampled_from(["size", "age"]), NUMBERS)),
                **draw(st.dictionaries(st.just("branch"), TEXTS.filter(is_no_number))),
            },
            context=draw(st.dictionaries(st.sampled_from(["sha", "job", "runner_os"]), TEXTS)),
        )
        for number in range(draw(st.integers(1, 5)))
    ]
    amendments = [
        Amendment(
            derived_trial_id("late", str(number)),
            draw(st.sampled_from(trials)).id,
            "speed",
            timestamp(START + timedelta(days=20, seconds=number)),
            draw(st.dictionaries(NAMES, NUMBERS, min_size=1)),
        )
        for number in range(draw(st.integers(0, 3)))
    ]
    return trials, amendments


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Git:
    return Git.at(project(tmp_path_factory.mktemp("round")).path)


def ledger_of(git: Git, trials: list[Trial], amendments: list[Amendment]) -> Ledger:
    files = {}
    for directory, lines in (
        (paths.trials("speed"), [trial.line() for trial in trials]),
        (paths.amendments("speed"), [item.line() for item in amendments]),
    ):
        data = "".join(line + "\n" for line in lines).encode()
        if data:
            files[f"{directory}/{segments.name_for(1, data)}"] = data
    oids = git.write_blobs(files.values())
    return Ledger(git, None).after(
        {path: Blob("100644", oid) for path, oid in zip(files, oids, strict=True)}, None
    )


def read_back(exported: Export, form: str) -> Iterator[Trial]:
    if form == "parquet":
        target = io.BytesIO()
        exported.write_parquet(target)
        return stream_rows(parquet.json_lines(target), TARGET)
    return stream_lines(io.BytesIO("".join(exported.lines(form)).encode()), TARGET)


@given(ledgers())
@examples(75)
def test_any_trial_comes_back_as_it_is_in_the_ledger(
    place: Git, recorded: tuple[list[Trial], list[Amendment]]
) -> None:
    trials, amendments = recorded
    exported = Export(ledger_of(place, trials, amendments), "speed")
    for form in ("jsonl", "csv", "parquet"):
        assert list(read_back(exported, form)) == amended(trials, amendments), form


@pytest.mark.parametrize(
    "data",
    [
        b'{"arm":"control","metrics":{"score":1}}\n{"arm":"control","metrics":{"score":NaN}}\n',
        b'[{"arm":"control","metrics":{"a":1}},{"arm":"control","metrics":{"a":-Infinity}}]',
        b"arm,score\ncontrol,nan\n",
        b"arm,score\ncontrol,inf\n",
    ],
)
def test_what_is_no_number_is_refused(data: bytes) -> None:
    with pytest.raises(ExpciError, match=r"line [12]: "):
        list(stream_lines(io.BytesIO(data), TARGET))
