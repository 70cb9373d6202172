"""The end of a live trial: verify, give the checkout back, keep the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from expci.core.model.trial import Status, Trial, load_line
from expci.core.model.trial_reader import parse_trial
from expci.core.value_class import replace
from expci.errors import ExpciError
from expci.runner import metrics
from expci.runner.live import live_trial
from expci.runner.live.live_trial import LiveTrial
from expci.runner.record.imported import Imported
from expci.runner.record.importing import with_success
from expci.store.git.git import Git
from expci.store.local import batch_file, recent_trials, spool


def end(
    git: Git,
    begun: LiveTrial,
    status: Status,
    given: Mapping[str, float],
    warnings: list[str],
    environment: Mapping[str, str],
    to: Path | None = None,
) -> Trial:
    """The record of what `assign` began, on disk; the checkout as it was before.

    `environment` is the job's, in which the arm's own variables must stand.
    """
    trial = _settled(git, begun, status, given, warnings, environment)
    keep(git, [trial], to)
    try:
        kept = live_trial.undo(begun, git)
    except (ExpciError, OSError) as error:
        warnings.append(f"the checkout could not be put back as it was: {error}")
        return trial
    if kept and trial.excluded is None:
        warnings.append(f"left as the job changed them: {', '.join(kept[:5])}")
    live_trial.forget(git, begun)
    return trial


def keep(git: Git, trials: Sequence[Trial], to: Path | None = None) -> None:
    """On disk first: what happens to the network or this process loses nothing.

    In the spool, from which it will be sent, or in the file `to`, which somebody hands on.
    """
    lines = [trial.line() for trial in trials]
    if to is None:
        spool.keep_batches(git, trials[0].experiment, lines)
    else:
        batch_file.append_records(to, lines)
    recent_trials.note(git, trials)


def keep_imported(git: Git, imported: Imported, experiment: str, to: Path | None = None) -> None:
    """The same of trials that may be too many for the memory."""
    if to is None:
        spool.keep_batches(git, experiment, imported.lines())
    else:
        batch_file.append_records(to, imported.lines())
    latest = imported.latest_ids(recent_trials.KEPT)
    recent_trials.note_ids(git, ((id, experiment) for id in latest))


def _settled(
    git: Git,
    begun: LiveTrial,
    status: Status,
    given: Mapping[str, float],
    warnings: list[str],
    environment: Mapping[str, str],
) -> Trial:
    """The record, written once: a second call after a kill reads it again."""
    if begun.line is not None:
        return parse_trial(load_line(begun.line))
    duration = begun.elapsed_s()
    reported, complaints = metrics.read_file(
        Path(begun.metrics_file), metrics.MOST - len(given), begun.wanted
    )
    warnings += [f"{begun.experiment}: {complaint}" for complaint in complaints]
    lost = live_trial.exposure_lost(begun, git)
    if lost:
        status, begun = "error", replace(begun, excluded="not_exposed")
        warnings.append(
            f"{begun.experiment}: {', '.join(lost[:3])} did not keep the arm's content during the "
            "job, so the trial is not counted: something in the job rewrites or restores it"
        )
    elif unset := live_trial.variables_lost(begun, environment):
        status, begun = "error", replace(begun, excluded="not_exposed")
        warnings.append(
            f"{begun.experiment}: the job does not have {', '.join(unset[:3])} as the arm sets it, "
            "so the trial is not counted: a step sets another value, or the runner dropped it"
        )
    elif begun.problem is not None:
        status = "error"
        warnings.append(f"{begun.experiment}: {begun.problem}")
    if clock := begun.context.get("clock"):
        warnings.append(
            f"{begun.experiment}: this machine's clock is behind ({clock}): the trial is dated "
            f"{begun.started}, when this phase of the experiment began. Set the clock"
        )
    values = {**reported, "duration_s": duration, **given}
    measured = {} if status in ("cancelled", "error") else with_success(values, status)
    trial = live_trial.as_record(begun, measured, status)
    live_trial.save(git, replace(begun, line=trial.line()))
    return trial
