"""`experiment.yml` as an `Experiment`, or all problems with it, with lines and fixes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from expci.core.model import limits
from expci.core.model.content import SPEC_NAME, FileTree, variant_files
from expci.core.model.experiment import ID_PATTERN, Budget, Experiment, MetricsFile
from expci.core.spec.base_conflicts import base_problems
from expci.core.spec.case_keys import case_key_problems
from expci.core.spec.effective import Effective
from expci.core.spec.experiment_file import Form, read_form
from expci.core.spec.job_reader import KEYS, read_plain
from expci.core.spec.judge_keys import judge_problems
from expci.core.spec.repository_defaults import Defaults, read_defaults
from expci.core.spec.schema import ExperimentFile
from expci.core.spec.source_keys import source_problems
from expci.core.spec.strict_yaml import NotPlain, plain_values
from expci.core.spec.variant_paths import path_refusal
from expci.core.spec.variants import arm_complaints, slot_conflicts
from expci.core.spec.yaml_document import Problem, dotted

__all__ = [
    "Defaults",
    "Problem",
    "Reading",
    "all_problems",
    "base_problems",
    "read_defaults",
    "read_experiment",
    "slot_conflicts",
]

_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_SLOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True)
class Reading:
    """One reading of one file. `experiment` is `None` exactly when there are problems.

    `origins` says where each effective value comes from, by key: `FILE:LINE`, `default`,
    or what it is derived from. `legible` is the experiment as far as it can be read, also
    where there are problems, so that one reading lists what else is wrong with it.
    """

    experiment: Experiment | None
    problems: tuple[Problem, ...]
    origins: Mapping[str, str]
    legible: Experiment | None = None


def read_experiment(
    id: str, text: str, tree: FileTree, defaults: Defaults, file: str | None = None
) -> Reading:
    r"""Read the spec `text` of the experiment `id`.

    `tree` holds the files of its directory by relative path, `file` is the spec's path in
    the repository, as problems name it.

    >>> text = "version: 1\nhypothesis: Faster.\nrun: ./a.sh\narms: {treatment: {env: {A: 1}}}\n"
    >>> reading = read_experiment("faster", text, {}, Defaults())
    >>> reading.experiment, [(problem.line, problem.path) for problem in reading.problems]
    (None, [(1, 'metrics'), (4, 'arms.treatment.env.A')])
    """
    file = file or f"experiments/{id}/{SPEC_NAME}"
    form = read_form(text, file, ExperimentFile)
    if not form.document.complete:
        return Reading(None, (*defaults.problems, *form.problems), {})
    effective = Effective(form, defaults)
    experiment = _experiment(id, effective)
    effective.problems += _sense(id, experiment, form)
    effective.problems += source_problems(experiment, form, defaults.sources)
    effective.problems += _variants(experiment, tree, form, file)
    problems = [*form.problems, *effective.problems]
    if not form.document.problems:
        problems += _plain_problems(text, experiment, form, earlier=problems)
    by_line = sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)
    ordered = (*defaults.problems, *by_line)
    written = {dotted(path): form.origin(path) for path in form.document.lines if path}
    valid = None if ordered else experiment
    return Reading(valid, ordered, written | effective.origins, experiment)


def all_problems(reading: Reading, against_base: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return a reading's problems and those against the base, one problem for each value.

    >>> first = Problem("experiment.yml", 3, "arms.treatment.delete[0]", "is refused", "correct it")
    >>> same = Problem("experiment.yml", 3, "arms.treatment.delete[0]", "there is no such file", "")
    >>> [problem.message for problem in all_problems(Reading(None, (first,), {}), [same])]
    ['is refused']
    """
    refused = {problem.path for problem in reading.problems if problem.path.endswith("]")}
    more = (problem for problem in against_base if problem.path not in refused)
    return tuple(dict.fromkeys((*reading.problems, *more)))


def _experiment(id: str, effective: Effective) -> Experiment:
    """The experiment as far as the file can be read; meaningless where there are problems."""
    file, choose = effective.file, effective.choose
    metrics = effective.metrics()
    primary = next((metric for metric in metrics if metric.role == "primary"), None)
    risk = choose(("risk",), limits.RISK)
    return Experiment(
        id=id,
        name=choose(("name",), id, "derived from the id"),
        hypothesis=(file.hypothesis or "").strip(),
        arms=effective.arms(),
        metrics=metrics,
        assignment=effective.assignment(),
        plan=effective.plan(risk),
        decision=effective.decision(primary),
        owner=choose(("owner",)),
        issue=choose(("issue",)),
        tags=tuple(choose(("tags",), ())),
        prior=choose(("prior",)),
        rate=choose(("rate",)),
        risk=risk,
        slot=choose(("slot",), None, "lab only"),
        run=choose(("run",)),
        setup=choose(("setup",)),
        warmup=choose(("warmup",), limits.WARMUP),
        timeout_s=float(choose(("timeout",), limits.TIMEOUT_S)),
        share=tuple(choose(("share",), ())),
        metrics_from=_metrics_files(file),
        budget=_budget(effective),
        cases=choose(("cases",)),
        must_pass=tuple(choose(("must_pass",), ())),
        repeats=choose(("repeats",), limits.REPEAT),
        isolate=effective.isolate(),
        compare=choose(("compare",)),
    )


def _budget(effective: Effective) -> Budget | None:
    metric, most = effective.choose(("budget", "metric")), effective.choose(("budget", "most"))
    return Budget(metric, float(most)) if metric is not None and most is not None else None


def _metrics_files(file: ExperimentFile) -> tuple[MetricsFile, ...]:
    return tuple(
        MetricsFile(section.format, section.path)
        for section in file.metrics_from or ()
        if section.format is not None and section.path is not None
    )


def _sense(id: str, experiment: Experiment, form: Form[ExperimentFile]) -> Iterator[Problem]:
    if not re.fullmatch(ID_PATTERN, id):
        fix = "use lower-case letters, digits and -, at most 63: faster-review"
        yield form.problem((), f"the directory's name {id!a} is not an experiment id", fix)
    if experiment.slot is not None and not _SLOT.fullmatch(experiment.slot):
        fix = "use letters, digits and _ . -, at most 63: review"
        yield form.problem(("slot",), f"{experiment.slot!a} is not a valid slot name", fix)
    for number, path in enumerate(form.values.share or ()):
        if refused := path_refusal(path.rstrip("/")):
            yield form.problem(("share", number), *refused)
    for number, section in enumerate(form.values.metrics_from or ()):
        if section.path is not None and (refused := path_refusal(section.path)):
            yield form.problem(("metrics_from", number, "path"), *refused)
    if experiment.budget is not None:
        yield from _budget_problems(experiment, form)
    yield from case_key_problems(experiment, form)
    yield from judge_problems(experiment, form)
    if experiment.metrics_from and experiment.run is None and not form.is_broken(("run",)):
        fix = "add `run: COMMAND`, or record the files with `expci record ID --format … --from …`"
        yield form.problem(
            ("metrics_from",), "is read after lab trials, and no `run` makes any", fix
        )


def _budget_problems(experiment: Experiment, form: Form[ExperimentFile]) -> Iterator[Problem]:
    budget = experiment.budget
    if budget is not None and not _METRIC.fullmatch(budget.metric):
        fix = "write the name of a metric that every run reports: cost_usd"
        message = f"{budget.metric!a} is not a valid metric name"
        yield form.problem(("budget", "metric"), message, fix)
    if experiment.run is None and not form.is_broken(("run",)):
        fix = "add `run: COMMAND`, or remove it: expci starts no other trials that it could hold"
        yield form.problem(("budget",), "limits lab trials, and no `run` makes any", fix)


def _variants(
    experiment: Experiment, tree: FileTree, form: Form[ExperimentFile], file: str
) -> Iterator[Problem]:
    """Problems with what the arms change, but for keys that could not be read."""
    home = str(PurePosixPath(file).parent)
    promotes = experiment.decision.promote != "never"
    promotes &= not form.is_broken(("decision", "promote"))
    for path, message, fix in arm_complaints(
        experiment.arms, tree, home, promotes, experiment.slot
    ):
        if not form.is_broken(path):
            yield form.problem(path, message, fix)
    if any(path == SPEC_NAME and item.mode == "120000" for path, item in tree.items()):
        yield form.problem((), "is a symlink", "put the file itself there")
    size = sum(len(item.data) for item in variant_files(experiment.arms, tree).values())
    if size > limits.VARIANT_BYTES:
        message = (
            f"the variants hold {size / 1e6:.0f} MB, more than {limits.VARIANT_BYTES / 1e6:.0f} MB"
        )
        yield form.problem(("arms",), message, "vary smaller files")


def _plain_problems(
    text: str, experiment: Experiment, form: Form[ExperimentFile], earlier: list[Problem]
) -> list[Problem]:
    """Where the reader of the trial path refuses the file or reads it differently."""
    try:
        values, _ = plain_values(text, KEYS)
        _same(values, {key: form.document.data.get(key) for key in values})
        absent = {key for key in KEYS if key in form.document.data} - values.keys()
        _same(dict.fromkeys(absent), {key: form.document.data[key] for key in absent})
        return [] if earlier else _typed_problems(text, experiment, form)
    except NotPlain as refused:
        message = f"is YAML that a trial job does not read: {refused.message}"
        return [Problem(form.document.file, refused.line, "", message, refused.fix)]
    except _Different as different:
        return [_difference(different.key, form)]


def _typed_problems(text: str, experiment: Experiment, form: Form[ExperimentFile]) -> list[Problem]:
    """As `_plain_problems`, for the values that both readers make of the data."""
    plain, file = read_plain(text), form.values
    pairs: dict[str, tuple[Any, Any]] = {
        "arms": (dict(plain.arms), {arm.name: arm for arm in experiment.arms}),
        "slot": (plain.slot, file.slot),
        "run": (plain.run, file.run),
        "setup": (plain.setup, file.setup),
        "warmup": (plain.warmup, file.warmup),
        "timeout": (plain.timeout_s, file.timeout),
        "share": (plain.share, None if file.share is None else tuple(file.share)),
        "metrics_from": (plain.metrics_from or (), experiment.metrics_from),
        "budget": (plain.budget, experiment.budget),
        "cases": (plain.cases, file.cases),
        "repeats": (plain.repeats, file.repeats),
        "isolate": (plain.isolate, file.isolate),
        "compare": (plain.compare, file.compare),
    }
    return [_difference(key, form) for key, (left, right) in pairs.items() if left != right]


class _Different(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _same(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    """`_Different` for the first key whose values or types differ, True and 1 included."""
    for key in left:
        if repr(left[key]) != repr(right[key]):
            raise _Different(key)


def _difference(key: str, form: Form[ExperimentFile]) -> Problem:
    message = "is read differently by a trial job and by a YAML parser"
    fix = "write it in one line per value, texts in quotes"
    return Problem(form.document.file, form.document.line((key,)), dotted((key,)), message, fix)
