"""`expci validate`: all problems of all experiments, advice, and where each value comes from."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expci.core.model.content import SPEC_NAME, FileTree, Paths
from expci.core.model.experiment import EXPERIMENTS_ROOT, Experiment, Limit, Metric, to_json
from expci.core.spec.advice import advise
from expci.core.spec.base_conflicts import (
    base_problems,
    lost_executables,
    misplaced_problems,
    unchanged_problems,
)
from expci.core.spec.parse import Reading, all_problems, read_experiment, slot_conflicts
from expci.core.spec.repository_defaults import Defaults
from expci.core.spec.variant_paths import varied_paths
from expci.core.spec.variants import live_paths
from expci.core.spec.yaml_document import Problem, printable
from expci.flows.freeze_plan import arm_problems, case_problems, excluded_cases
from expci.flows.variant_bytes import byte_problems, through_filters
from expci.flows.working_tree import (
    Unreadable,
    experiments_on_disk,
    load_directory,
    load_from_disk,
    repository_defaults,
)
from expci.store.cases import working_tree
from expci.store.git.git import Git

__all__ = ["Explained", "ValidateResult", "load_from_disk", "read_experiments", "validate"]


@dataclass(frozen=True)
class Explained:
    """One effective value (ready for JSON) and its origin."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True)
class ReadFromDisk:
    """One experiment of the working directory."""

    directory: str
    tree: FileTree
    reading: Reading


@dataclass(frozen=True)
class ValidateResult:
    """What `expci validate` answers. `checked` are ids, `advice` and `explained` by id."""

    checked: tuple[str, ...]
    problems: tuple[Problem, ...]
    advice: Mapping[str, tuple[str, ...]]
    explained: Mapping[str, tuple[Explained, ...]]

    @property
    def is_valid(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """The `expci.validate/1` document."""
        experiments = [
            {
                "id": id,
                "advice": list(self.advice.get(id, ())),
                "effective": to_json(self.explained.get(id, ())),
            }
            for id in self.checked
        ]
        problems = [problem.to_json() for problem in self.problems]
        return {
            "schema": "expci.validate/1",
            "valid": self.is_valid,
            "problems": problems,
            "experiments": experiments,
        }


def validate(
    root: Path,
    ids: Sequence[str] = (),
    explain: bool = False,
    *,
    base: Paths | None = None,
    ended: Collection[str] = (),
    git: Git | None = None,
) -> ValidateResult:
    """Check the experiments `ids` (none: all) below `root`, the top of the work tree.

    `base` are the files that variants are compared with, by path (`Git.read_tree("HEAD")`);
    without it that comparison is skipped. Copies that are still unchanged are advice until
    the experiment is committed there. `ended` experiments take no slot any more. With `git`
    files are read as it would commit them, what it would leave out or change is named, and the
    arms are put on HEAD as `start` would put them.
    """
    defaults, on_disk = read_experiments(root, git)
    checked = tuple(ids) or tuple(on_disk)
    chosen = {id: on_disk[id] for id in checked if id in on_disk}
    problems = [*defaults.problems, *_twice(on_disk)]
    problems += [_unknown(id, on_disk, git) for id in checked if id not in on_disk]
    for entries in chosen.values():
        for entry in entries:
            against = (*_against_base(entry, base), *_against_git(entry, git))
            problems += all_problems(entry.reading, against)
            problems += _of_arms(entry, git)
    problems += _slots(on_disk, chosen, ended)
    valid = {id: entries[0] for id, entries in chosen.items() if entries[0].reading.experiment}
    return ValidateResult(
        checked=tuple(chosen),
        problems=tuple(dict.fromkeys(problems)),
        advice={id: (*_advice(entry, base), *_of_cases(entry, git)) for id, entry in valid.items()},
        explained={id: tuple(_explained(entry)) for id, entry in valid.items()} if explain else {},
    )


def read_experiments(
    root: Path, git: Git | None = None
) -> tuple[Defaults, dict[str, list[ReadFromDisk]]]:
    """The defaults and every experiment of the working directory, by id."""
    defaults = repository_defaults(root)
    on_disk = experiments_on_disk(root, defaults)
    return defaults, {
        id: [_read(root, id, directory, defaults, git) for directory in directories]
        for id, directories in on_disk.items()
    }


def _read(root: Path, id: str, directory: str, defaults: Defaults, git: Git | None) -> ReadFromDisk:
    file = f"{directory}/{SPEC_NAME}"
    try:
        tree = load_directory(root, directory)
        tree = tree if git is None else through_filters(git, directory, tree)
    except Unreadable as error:
        problem = error.problem or _as_problem(str(error), directory)
        return ReadFromDisk(directory, {}, Reading(None, (problem,), {}))
    text = tree[SPEC_NAME].data.decode()
    return ReadFromDisk(directory, tree, read_experiment(id, text, tree, defaults, file))


def _as_problem(message: str, directory: str) -> Problem:
    message, _, fix = message.removeprefix(f"{directory}: ").partition("; ")
    return Problem(f"{directory}/{SPEC_NAME}", None, "", message, fix or "correct that first")


def _unknown(id: str, on_disk: Collection[str], git: Git | None) -> Problem:
    directory = f"{EXPERIMENTS_ROOT}/{id}"
    if git is not None and git.resolve("HEAD") and git.read_tree("HEAD", directory):
        message = "it is in HEAD and not on disk, where this verb reads it"
        fix = (
            f"`git checkout HEAD -- {directory}`; in a sparse checkout `git sparse-checkout add "
            f"{directory}`"
        )
        return Problem(directory, None, "", message, fix)
    close = difflib.get_close_matches(id, on_disk, n=1)
    fix = f"did you mean {close[0]}?" if close else f"`expci create {id}` makes one"
    return Problem(directory, None, "", "there is no such experiment", fix)


def _twice(on_disk: Mapping[str, Sequence[ReadFromDisk]]) -> Iterator[Problem]:
    for id, entries in on_disk.items():
        for entry in entries[1:]:
            message = f"the id {id} is used in {entries[0].directory} too"
            yield Problem(entry.directory, None, "", message, "rename one of the directories")


def _against_base(entry: ReadFromDisk, base: Paths | None) -> tuple[Problem, ...]:
    experiment = entry.reading.legible
    if experiment is None or base is None:
        return ()
    file = f"{entry.directory}/{SPEC_NAME}"
    check = misplaced_problems if _is_being_written(entry, base) else base_problems
    return check(experiment, entry.tree, base, file)


def _against_git(entry: ReadFromDisk, git: Git | None) -> tuple[Problem, ...]:
    experiment = entry.reading.legible
    if experiment is None or git is None:
        return ()
    return tuple(byte_problems(git, entry.directory, experiment, entry.tree))


def _of_arms(entry: ReadFromDisk, git: Git | None) -> tuple[Problem, ...]:
    """What keeps the arms from being put on HEAD; nothing where the file itself is wrong."""
    head = None if git is None else git.resolve("HEAD")
    if git is None or head is None or entry.reading.experiment is None:
        return ()
    file = f"{entry.directory}/{SPEC_NAME}"
    experiment = entry.reading.experiment
    problems = arm_problems(git, head, experiment, entry.tree, file)
    if experiment.cases is None:
        return problems
    tree = working_tree(git, experiment.cases)
    return (*problems, *case_problems(git, tree, entry.reading, file))


def _is_being_written(entry: ReadFromDisk, base: Paths) -> bool:
    """Whether it was never committed: copies that wait for their change are then no fault yet."""
    return base.get(f"{entry.directory}/{SPEC_NAME}") is None


def _slots(
    on_disk: Mapping[str, Sequence[ReadFromDisk]],
    chosen: Collection[str],
    ended: Collection[str],
) -> Iterator[Problem]:
    """Slot conflicts that touch the chosen experiments."""
    entries = {id: on_disk[id][0] for id in on_disk if id not in ended}
    order = [id for id in entries if id not in chosen] + [id for id in entries if id in chosen]
    readings = [(entries[id].reading.experiment, entries[id].tree) for id in order]
    varied = [(item, live_paths(item, tree)) for item, tree in readings if item is not None]
    files = {id: f"{entries[id].directory}/{SPEC_NAME}" for id in chosen if id in entries}
    for problem in slot_conflicts(varied, {id: entries[id].directory for id in entries}):
        if problem.file in files.values():
            yield problem


def _advice(entry: ReadFromDisk, base: Paths | None) -> tuple[str, ...]:
    experiment, tree = entry.reading.experiment, entry.tree
    if experiment is None:
        return ()
    unchanged = (
        unchanged_problems(experiment, tree, base)
        if base is not None and _is_being_written(entry, base)
        else ()
    )
    todo = [f"{problem.path}: {problem.message}; {problem.fix}" for problem in unchanged]
    todo += lost_executables(experiment, tree, base) if base is not None else ()
    return (*map(printable, todo), *advise(experiment, varied_paths(experiment, tree)))


def _of_cases(entry: ReadFromDisk, git: Git | None) -> tuple[str, ...]:
    """What the cases of a valid experiment leave out."""
    experiment = entry.reading.experiment
    if git is None or experiment is None or experiment.cases is None or not git.resolve("HEAD"):
        return ()
    return excluded_cases(git, working_tree(git, experiment.cases), experiment)


def _explained(entry: ReadFromDisk) -> Iterator[Explained]:
    experiment, origins = entry.reading.experiment, entry.reading.origins
    for key, value in _flat(experiment) if experiment else ():
        around = key.rpartition(".")[0]
        origin = origins.get(key) or origins.get(around, "default")
        if origin.startswith(f"{entry.directory}/") and key not in origins:
            origin = "default"  # its section stands in the file, the key does not
        yield Explained(key, value, origin)


def _flat(experiment: Experiment) -> Iterator[tuple[str, Any]]:
    """Every key as the file would spell it, with its value."""
    for name in ("name", "hypothesis", "owner", "issue", "tags", "prior", "risk", "slot", "run"):
        yield name, to_json(getattr(experiment, name))
    yield "compare", experiment.compare
    yield "setup", experiment.setup
    yield "warmup", experiment.warmup
    yield "timeout", f"{experiment.timeout_s:g}s"
    yield "share", list(experiment.share)
    yield "cases", None if experiment.cases is None else experiment.cases.text
    for name in ("must_pass", "repeats", "isolate"):
        yield name, to_json(getattr(experiment, name))
    budget = experiment.budget
    yield "budget.metric", None if budget is None else budget.metric
    yield "budget.most", None if budget is None else budget.most
    for arm in experiment.arms:
        for key in ("description", "files", "patch", "delete", "env", "promote"):
            if getattr(arm, key):
                yield f"arms.{arm.name}.{key}", to_json(getattr(arm, key))
    for number, metric in enumerate(experiment.metrics):
        yield from _flat_metric(f"metrics[{number}]", metric)
    for section in ("assignment", "plan", "decision"):
        for key, value in vars(getattr(experiment, section)).items():
            if key == "weights":
                yield from ((f"assignment.weights.{arm}", weight) for arm, weight in value.items())
            else:
                yield f"{section}.{key}", str(value) if isinstance(value, Limit) else value


def _flat_metric(path: str, metric: Metric) -> Iterator[tuple[str, Any]]:
    for key, value in vars(metric).items():
        if value is not None:
            yield f"{path}.{key}", str(value) if isinstance(value, Limit) else to_json(value)
