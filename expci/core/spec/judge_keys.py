"""What is wrong with a preference: without pairs, or with a judge whose answer no metric takes."""

from __future__ import annotations

from collections.abc import Iterator

from expci.core.model.experiment import Experiment
from expci.core.model.metric_names import PREFERENCE
from expci.core.spec.experiment_file import Form
from expci.core.spec.schema import ExperimentFile
from expci.core.spec.yaml_document import Problem


def judge_problems(experiment: Experiment, form: Form[ExperimentFile]) -> Iterator[Problem]:
    r"""Yield the keys about preferences that make no sense together.

    >>> from expci.core.spec.experiment_file import read_form
    >>> from support.analysis_samples import make_experiment
    >>> from expci.core.model.experiment import Metric
    >>> metric = Metric("preference", "primary", "preference", "increase")
    >>> plan = make_experiment(primary=metric, others=(), design="blocked")
    >>> form = read_form("version: 1\n", "experiment.yml", ExperimentFile)
    >>> [problem.message for problem in judge_problems(plan, form)]
    ['preference is of pairs']
    """
    yield from _of_metrics(experiment, form)
    if experiment.compare is None:
        return
    if experiment.run is None and not form.is_broken(("run",)):
        fix = "add `run: COMMAND`, or remove `compare`"
        yield form.problem(("compare",), "judges lab runs, and no `run` makes any", fix)
    judged = [metric for metric in experiment.metrics if metric.name == PREFERENCE]
    if not judged and not form.is_broken(("metrics",)):
        fix = f"add `- {{name: {PREFERENCE}, role: primary}}`"
        yield form.problem(("compare",), f"gives the metric {PREFERENCE}, which is missing", fix)
    elif experiment.assignment.design != "paired":
        fix = "remove `design`: a judge gets the two outputs of a pair"
        yield form.problem(("assignment", "design"), "has no pairs to compare", fix)


def _of_metrics(experiment: Experiment, form: Form[ExperimentFile]) -> Iterator[Problem]:
    for number, metric in enumerate(experiment.metrics):
        path, traits = ("metrics", number), metric.traits
        if metric.name == PREFERENCE and traits.pairing != "always":
            fix = f"remove `kind`, or give the metric another name than {PREFERENCE}"
            yield form.problem((*path, "kind"), f"is {metric.kind}", fix)
        if traits.pairing != "always":
            continue
        if metric.direction != "increase":
            fix = "remove `direction`"
            yield form.problem((*path, "direction"), "more of a preference is better", fix)
        if experiment.assignment.design != "paired" and experiment.compare is None:
            fix = "write `assignment: {design: paired}`"
            yield form.problem((*path, "kind"), f"{metric.kind} is of pairs", fix)
