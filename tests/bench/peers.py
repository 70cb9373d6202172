"""What other libraries take for the same comparisons: run by the bench, in their own environment.

Prints the processor seconds of each that is installed, as JSON, or why it cannot be measured.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

EXPERIMENTS, TRIALS = 1_000, 1_000
_SAMPLE = 20  # experiments that a slow peer analyses; its time is scaled


def best(work: Callable[[], object], rounds: int) -> float:
    """The least processor time of these rounds."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def columns() -> tuple[Any, Any]:
    """The arm of each trial, and of each experiment three metrics."""
    values = np.random.default_rng(1).normal(10, 1, (EXPERIMENTS, 3, TRIALS))
    return np.arange(TRIALS) % 2, values


def gbstats() -> float:
    from gbstats.frequentist.tests import FrequentistConfig, TwoSidedTTest
    from gbstats.models.statistics import SampleMeanStatistic

    arm, values = columns()

    def statistic(part: Any) -> Any:
        squares = float((part**2).sum())
        return SampleMeanStatistic(n=part.size, sum=float(part.sum()), sum_squares=squares)

    def work() -> None:
        for column in values.reshape(-1, TRIALS):
            a, b = statistic(column[arm == 0]), statistic(column[arm == 1])
            TwoSidedTTest(a, b, FrequentistConfig()).compute_result()

    return best(work, 3)


def tea_tasting() -> float:
    import pyarrow
    import tea_tasting as tt

    arm, values = columns()
    experiment = tt.Experiment(a=tt.Mean("a"), b=tt.Mean("b"), c=tt.Mean("c"))
    tables = [
        pyarrow.table({"variant": arm, "a": one[0], "b": one[1], "c": one[2]})
        for one in values[:_SAMPLE]
    ]
    return EXPERIMENTS / _SAMPLE * best(lambda: [experiment.analyze(t) for t in tables], 3)


def spotify_confidence() -> float:
    import pandas
    from spotify_confidence import StudentsTTest

    arm, values = columns()

    def frame(column: Any) -> Any:
        parts = {which: column[arm == which] for which in (0, 1)}
        return pandas.DataFrame(
            [
                {"arm": which, "n": part.size, "sum": part.sum(), "squares": (part**2).sum()}
                for which, part in parts.items()
            ]
        )

    frames = [frame(column) for column in values[:_SAMPLE].reshape(-1, TRIALS)]

    def work() -> None:
        for one in frames:
            StudentsTTest(
                one,
                numerator_column="sum",
                numerator_sum_squares_column="squares",
                denominator_column="n",
                categorical_group_columns="arm",
            ).difference(level_1=0, level_2=1)

    return EXPERIMENTS / _SAMPLE * best(work, 2)


def measured(peer: Callable[[], float]) -> float | str:
    try:
        return peer()
    except ImportError as error:
        return f"not installed: {error}"
    except Exception as error:  # another version's API must not end the bench
        return f"cannot be measured: {type(error).__name__}: {error}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    peers = (gbstats, tea_tasting, spotify_confidence)
    print(json.dumps({peer.__name__: measured(peer) for peer in peers}))
