"""The past of a unit is what the ledger had of it when the plan's first trial came."""

from __future__ import annotations

import numpy as np
import pytest

from expci.core.dataset.recorded import trial_columns
from expci.core.dataset.unit_history import with_history
from expci.core.model.experiment import Metric
from expci.core.model.trial import Amendment, Arrival, amended
from support.analysis_samples import PLAN, make_experiment, make_trial

SCORE = Metric("score", "primary", "mean", "increase", adjust_by=("history",))


@pytest.mark.parametrize(("before", "history"), [(2, 4.0), (3, 2.0)])
def test_a_score_that_comes_after_the_plans_first_trial_is_no_past(
    before: int, history: float
) -> None:
    """Of two earlier trials that scored 2 and 6 the second's score came late."""
    first, second = (
        make_trial(n, "control", plan="b" * 64, unit="ada", metrics=metrics)
        for n, metrics in enumerate(({"score": 2.0}, {}))
    )
    own = make_trial(2, "treatment", unit="ada", metrics={"score": 5.0})
    late = Amendment(
        "1" * 26,
        second.id,
        "faster",
        second.started,
        {"score": 6.0},
        Arrival(second.started, 1, before),
    )
    trials = trial_columns(amended([first, second, own], [late]))
    counted = trials.take(np.array([2]))
    adjusted = with_history(counted, trials, make_experiment(primary=SCORE), PLAN)
    assert adjusted.covariate("history of score").tolist() == [history]
