"""What a reader of the whole analysis must know: pairs that are none, looks that disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from expci.core.analysis.look import Look
from expci.core.dataset.dataset import Dataset
from expci.core.dataset.unit_paths import unpaired_trials
from expci.core.model.results import MetricResult, NoteCode
from expci.core.number_format import count

_UNSTEADY: tuple[NoteCode, ...] = ("unsteady_effect", "unsteady_difference", "outside_interval")


def notes_on(
    look: Look, data: Dataset, units: Mapping[str, int], target: int | None
) -> tuple[str, ...]:
    """Return what is unusual about the trials and the plan, a sentence each.

    >>> from support.analysis_samples import START, look_of, make_experiment
    >>> from support.examples import data_of
    >>> look = look_of(make_experiment(), promoted=START, promoted_arm="treatment")
    >>> notes_on(look, data_of(look.experiment, []), {}, 40)
    ('watching: only trials started since the promotion count, only harm is decided',)
    """
    table = data.table
    notes, counted, paired = [], len(table.trials), table.paired
    alone = unpaired_trials(table.trials, table.arm) if paired else 0
    if alone and any(units.values()):
        notes.append(
            f"{alone:,} of {count(counted, 'trial')} have no partner: no trial of another arm in "
            "their block, so they are in no pair that is compared"
        )
    if paired and counted and not any(units.values()):
        notes.append(
            "no pair is complete: a pair is the trials of both arms in one block, and no block "
            "here has both with a value of the primary metric"
        )
    if look.watching:
        notes.append(
            "watching: only trials started since the promotion count, only harm is decided"
        )
    if look.experiment.assignment.design == "paired" and counted and not paired:
        notes.append(
            "most counted trials name no block, so there are no pairs to compare: the arms are "
            "compared as independent samples"
        )
    if target is None and look.experiment.primary.minimum_effect is None:
        notes.append("no sample size: the primary metric states no minimum_effect")
    return tuple(notes)


def contradictions(metrics: Sequence[MetricResult]) -> Iterator[str]:
    """Return a note for each comparison whose looks contradict one another.

    >>> from support.report_samples import comparison, duration
    >>> unsteady = comparison(note_codes={"unsteady_effect": "the sign has changed"})
    >>> list(contradictions([duration(comparisons=(unsteady,))]))
    ['duration_s with treatment: the sign has changed']
    """
    for metric in metrics:
        for comparison in metric.comparisons:
            for sentence in filter(None, map(comparison.note_codes.get, _UNSTEADY)):
                yield f"{metric.name} with {comparison.arm}: {sentence}"
