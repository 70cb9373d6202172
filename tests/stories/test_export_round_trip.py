"""What `export` writes, `record --from` reads back: the same trials, none twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci.core.model.trial import Trial
from expci.flows.verbs.export import export
from support.command import expci_command
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
