"""Amendments put into columns give what the amended trials give as columns."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from expci.core.dataset.late_values import with_late
from expci.core.dataset.recorded import trial_columns
from expci.core.model.trial import Amendment, Arrival, amended, arrived_by_trial
from support.analysis_samples import make_trial
from support.columns import plain
from support.properties import examples

TRIALS = [make_trial(n, "control", metrics={"score": 1.0, "cost": 2.0}) for n in range(5)]
TIMES = [f"2026-11-22T1{hour}:00:00.000Z" for hour in range(3)]
amendments = st.builds(
    Amendment,
    st.integers(1, 9).map(str),
    st.sampled_from([trial.id for trial in TRIALS] + ["unknown"]),
    st.just("speed"),
    st.sampled_from(TIMES),
    st.dictionaries(st.sampled_from(["score", "cost", "stars"]), st.sampled_from([0.0, 1.0, 7.5])),
    st.none() | st.builds(Arrival, st.sampled_from(TIMES), st.integers(1, 9), st.integers(0, 5)),
)


@examples(100)
@given(st.lists(amendments, max_size=8))
def test_late_values_are_those_of_the_amended_trials(late: Sequence[Amendment]) -> None:
    columns = with_late(trial_columns(TRIALS), arrived_by_trial(late))
    assert plain(columns) == plain(trial_columns(amended(TRIALS, [*late])))
