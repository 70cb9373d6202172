"""Whether a judge's answers follow the place of an output instead of the output."""

from __future__ import annotations

import numpy as np

from expci.core import number_format
from expci.core.checks.inputs import ALARM, CheckInputs
from expci.core.model.judge import KEY, answer_counts, followed_position, preference
from expci.core.model.results import Check
from expci.core.statistics.sign_test import sign_test
from expci.core.statistics.t_mixture import Rules, p_value_of


def position_bias(inputs: CheckInputs) -> Check | None:
    """Check whether answers that follow a place follow both places equally often.

    `None` where nothing was judged. Such pairs are ties, so a side costs power and favours no arm.

    >>> from support.analysis_samples import make_trial
    >>> from support.examples import check_inputs
    >>> answers = ["A/A"] * 20 + ["B/A"] * 2
    >>> judged = [make_trial(n, "treatment", context={KEY: pair}) for n, pair in enumerate(answers)]
    >>> check = position_bias(check_inputs(judged))
    >>> check.status, check.detail.split(" (")[0]
    ('warning', '20 of 22 judged pairs')
    """
    answers = [word for word in inputs.table.trials.stated(KEY).words() if word is not None]
    counts = answer_counts(answers)
    if not counts.judged:
        return None
    letters = [followed_position(pair) for pair in answers if preference(pair) is not None]
    gaps = np.array([0.5 if letter == "A" else -0.5 for letter in letters if letter is not None])
    share = number_format.percent(counts.followed / counts.judged)
    detail = (
        f"{counts.followed} of {counts.judged} judged pairs ({share}) followed the place "
        f"({counts.first} the first, {counts.second} the second) and count as ties"
    )
    if not gaps.size:
        return Check("position_bias", "ok", None, detail)
    test = sign_test(gaps[None, :], None, Rules(alpha=ALARM, harm=1, start=1))
    p_value = p_value_of(float(test.log_e()[0, -1]))
    return Check("position_bias", "warning" if p_value <= ALARM else "ok", p_value, detail)
