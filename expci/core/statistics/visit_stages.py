"""At which visits of a unit exact evidence is weighed, for units that are visited again and again.

Exact tests bet on each unit once: what it shows later would change what was bet. So a unit is
weighed in stages. A stage of v visits takes each unit when it has had v of them, by their mean,
which makes it surer. Each stage is exact by itself, and its evidence counts at its share of
alpha (Bonferroni): the largest of share × E is evidence at every look.
"""

from __future__ import annotations

from expci.core.model.experiment import Experiment

Stages = tuple[tuple[int, float], ...]

ONCE: Stages = ((1, 1.0),)
# visits of a stage, and its share of alpha
AGAIN: Stages = ((1, 0.4), (3, 0.2), (9, 0.2), (27, 0.2))


def visit_stages(experiment: Experiment) -> Stages:
    """Return the stages of a plan: cases are visited again and again, other units once.

    >>> from support.analysis_samples import make_experiment
    >>> visit_stages(make_experiment())
    ((1, 1.0),)
    """
    return ONCE if experiment.cases is None else AGAIN
