"""What is wrong with the keys about cases, and with the cases that a plan would freeze."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

from expci.core.model import limits
from expci.core.model.experiment import Experiment
from expci.core.spec.experiment_file import Form
from expci.core.spec.schema import ExperimentFile
from expci.core.spec.variant_paths import path_refusal
from expci.core.spec.yaml_document import Problem


def case_key_problems(experiment: Experiment, form: Form[ExperimentFile]) -> Iterator[Problem]:
    r"""Yield the keys that make no sense together.

    >>> from expci.core.spec.experiment_file import read_form
    >>> from support.report_samples import experiment
    >>> form = read_form("version: 1\nmust_pass: [login]\n", "experiment.yml", ExperimentFile)
    >>> for problem in case_key_problems(experiment(), form):
    ...     print(problem)
    experiment.yml:2: must_pass: means nothing without cases — add `cases: evals/*`
    """
    if experiment.cases is None:
        yield from _without_cases(form)
        return
    path = experiment.cases.path
    if path is not None and (refused := path_refusal(_plain(path))):
        yield form.problem(("cases",), *refused)
    if experiment.run is None and not form.is_broken(("run",)):
        yield form.problem(("cases",), "are run on, and no `run` says how", "add `run: COMMAND`")
    if experiment.slot is not None:
        fix = "remove `slot`, or `cases`"
        yield form.problem(("cases",), "are for the lab; real jobs have work of their own", fix)
    if experiment.cases.merged is not None and not experiment.isolate:
        fix = "remove `isolate`"
        yield form.problem(("isolate",), "must be true for a replay: HEAD holds the answers", fix)
    if experiment.assignment.design != "paired":
        fix = "remove `design`: a pair runs both arms on one case"
        yield form.problem(("assignment", "design"), "cases are run in pairs", fix)
    if experiment.plan.inference != "anytime":
        fix = "write `inference: anytime`, which holds while cases are visited again and again"
        yield form.problem(("plan", "inference"), "plans its looks by new units", fix)
    for number, name in enumerate(experiment.must_pass):
        if name in experiment.must_pass[:number]:
            yield form.problem(("must_pass", number), f"{name!a} stands twice", "keep one")


def _plain(path: str) -> str:
    """The path with its pattern as a plain name."""
    return path.replace("*", "x").replace("?", "x")


def _without_cases(form: Form[ExperimentFile]) -> Iterator[Problem]:
    for key in ("must_pass", "repeats"):
        if getattr(form.values, key) is not None and not form.is_broken(("cases",)):
            yield form.problem((key,), "means nothing without cases", "add `cases: evals/*`")


def frozen_problems(experiment: Experiment, ids: Collection[str], file: str) -> Iterator[Problem]:
    """Yield what keeps these cases from being the units of the plan.

    >>> from dataclasses import replace
    >>> from expci.core.model.cases import CaseSource
    >>> from support.report_samples import experiment
    >>> plan = replace(experiment(), cases=CaseSource("evals/*"), must_pass=("logn",))
    >>> ids = ["login", "logout", "search", "sort", "filter", "share", "print", "undo", "redo"]
    >>> for problem in frozen_problems(plan, [*ids, "copy"], "experiment.yml"):
    ...     print(problem)
    experiment.yml: must_pass[0]: 'logn' is not a case — did you mean 'login'?
    """
    cases = experiment.cases
    if cases is None:
        return
    if not ids:
        fix = "commit them, or correct the path"
        yield Problem(file, None, "cases", f"{cases.text} has no case", fix)
    elif len(ids) < limits.MINIMUM_PAIRS:
        message = f"{len(ids)} case{'s' * (len(ids) > 1)}, and evidence is over cases"
        fix = f"have {limits.MINIMUM_PAIRS} at least: with fewer nothing is decided"
        yield Problem(file, None, "cases", message, fix)
    if len(ids) > limits.CASES:
        message = f"are {len(ids):,}, more than {limits.CASES:,}"
        yield Problem(file, None, "cases", message, "choose among them")
    for number, name in enumerate(experiment.must_pass):
        if name not in ids:
            near = difflib.get_close_matches(name, ids, n=1)
            fix = f"did you mean {near[0]!a}?" if near else "name a case by its id"
            path = f"must_pass[{number}]"
            yield Problem(file, None, path, f"{name!a} is not a case", fix)
