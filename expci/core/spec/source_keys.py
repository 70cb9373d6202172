"""What is wrong with a metric's `source`: names that are none, and designs that it cannot serve."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator

from expci.core.model import limits
from expci.core.model.experiment import DEFAULTS_FILE, Experiment, Metric
from expci.core.model.source import MetricSource
from expci.core.model.trial import MEASURED
from expci.core.spec.experiment_file import Form
from expci.core.spec.schema import ExperimentFile
from expci.core.spec.yaml_document import Path, Problem

# No path and no pattern: an engine that takes a quoted name for a file never meets one.
_TABLE = re.compile(r"[A-Za-z_]\w{0,127}(\.[A-Za-z_]\w{0,127}){0,2}", re.ASCII)


def source_problems(
    experiment: Experiment, form: Form[ExperimentFile], sources: Collection[str]
) -> Iterator[Problem]:
    r"""Yield what is wrong with the sources of metrics; `sources` are the names that exist.

    >>> from dataclasses import replace
    >>> from expci.core.spec.experiment_file import read_form
    >>> from support.report_samples import experiment
    >>> orders = MetricSource("warehouse", "orders", "user_id", "paid_at", 86400.0, "amount")
    >>> metric = Metric("usd", "primary", "mean", "increase", source=orders)
    >>> plan = replace(experiment(), metrics=(metric,), run=None)
    >>> plan = replace(plan, assignment=replace(plan.assignment, design="blocked"))
    >>> form = read_form("version: 1\n", "experiment.yml", ExperimentFile)
    >>> for problem in source_problems(plan, form, ["warehose"]):
    ...     print(problem.message, "-", problem.fix)
    'warehouse' is no source of experiments/expci.yml - did you mean 'warehose'?
    """
    for number, metric in enumerate(experiment.metrics):
        if metric.source is not None:
            path = ("metrics", number, "source")
            yield from _of_columns(metric.source, path, form)
            yield from _of_metric(metric, path, form)
            yield from _of_design(experiment, path, form)
            yield from _unknown(metric.source.name, (*path, "name"), form, sources)


def _of_columns(source: MetricSource, path: Path, form: Form[ExperimentFile]) -> Iterator[Problem]:
    if not _TABLE.fullmatch(source.table):
        fix = "write its name, with a schema where it has one: shop.orders"
        yield form.problem((*path, "table"), f"{source.table[:80]!a} is no name of a table", fix)
    if source.window_s > limits.WINDOW_S:
        fix = "write 7d, or what a unit needs to show its effect"
        yield form.problem((*path, "window"), "is more than a year", fix)
    if source.rows == "count" and source.value is not None:
        fix = "remove `value`, or write `rows: sum`"
        yield form.problem((*path, "value"), "is not read where rows are counted", fix)
    if source.rows != "count" and source.value is None and not form.is_broken((*path, "value")):
        fix = "write `value: COLUMN`, or `rows: count`"
        yield form.problem((*path, "value"), "is missing: which column has the number?", fix)


def _of_metric(metric: Metric, path: Path, form: Form[ExperimentFile]) -> Iterator[Problem]:
    if metric.name in MEASURED:
        fix = "give the metric another name"
        yield form.problem(path, f"is of {metric.name}, which trials report themselves", fix)


def _of_design(experiment: Experiment, path: Path, form: Form[ExperimentFile]) -> Iterator[Problem]:
    if experiment.assignment.design == "paired":
        fix = "write `assignment: {design: blocked}`"
        message = "joins by unit, and in pairs every unit has both arms"
        yield form.problem(path, message, fix)


def _unknown(
    name: str, path: Path, form: Form[ExperimentFile], sources: Collection[str]
) -> Iterator[Problem]:
    if name not in sources:
        near = difflib.get_close_matches(name, sources, n=1)
        add = f"add `sources: {{{name}: $WAREHOUSE_URL}}` there, on the default branch"
        fix = f"did you mean {near[0]!a}?" if near else add
        yield form.problem(path, f"{name[:80]!a} is no source of {DEFAULTS_FILE}", fix)
