"""Freeze a plan: from an experiment's reviewed files at a commit to what the ledger keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from expci.core.model.cases import BadCases
from expci.core.model.content import SPEC_NAME, Blob, File, Paths, plan_id, variant_files
from expci.core.model.experiment import CONTROL, DEFAULTS_FILE, EXPERIMENTS_ROOT, Arm, Experiment
from expci.core.spec import parse
from expci.core.spec.case_keys import frozen_problems
from expci.core.spec.parse import Reading
from expci.core.spec.yaml_document import Problem, decode_spec
from expci.core.spelling import suggestion
from expci.errors import ExpciError, GitError
from expci.store import variant
from expci.store.cases import read_cases
from expci.store.git.git import Git
from expci.store.ledger.plans import Plan


class NotValid(ExpciError):
    """The experiment's file has problems; all of them are in the message."""


@dataclass(frozen=True)
class Draft:
    """An experiment as it stands at a commit, and what is wrong with it."""

    name: str
    directory: str
    plan: Plan | None
    problems: tuple[Problem, ...]


def reviewed_defaults(git: Git, commit: str) -> parse.Defaults:
    """The repository's defaults (`experiments/expci.yml`) as they stand at a commit."""
    blob = git.read_paths(commit, [DEFAULTS_FILE])[DEFAULTS_FILE]
    if blob is None:
        return parse.Defaults()
    text = decode_spec(git.cat([blob.oid])[blob.oid], DEFAULTS_FILE)
    if isinstance(text, Problem):
        raise NotValid(str(text))
    defaults = parse.read_defaults(text)
    if defaults.problems:
        raise NotValid(_listed("the repository's defaults are not valid", defaults.problems))
    return defaults


def drafts_at(git: Git, commit: str) -> dict[str, str]:
    """Experiments in the tree of a commit: id → directory."""
    directories: dict[str, str] = {}
    for root in reviewed_defaults(git, commit).roots:
        for path in git.read_tree(commit, root):
            parts = path.split("/")
            if len(parts) == 2 and parts[1] == SPEC_NAME:
                directories[parts[0]] = f"{root}/{parts[0]}"
    return directories


def require_valid(draft: Draft) -> Plan:
    """The draft's plan; all its problems in one error when it has none."""
    if draft.plan is None:
        raise NotValid(
            _listed(f"{draft.name} is not valid, so nothing was started", draft.problems)
        )
    return draft.plan


def _listed(what: str, problems: Iterable[Problem]) -> str:
    return f"{what}:\n" + "\n".join(f"  {problem}" for problem in problems)


def draft_of(git: Git, commit: str, name: str) -> Draft:
    """The experiment of that id at a commit; `ExpciError` when there is none."""
    drafts = drafts_at(git, commit)
    if name not in drafts:
        hint = suggestion(name, drafts, "is it committed?")
        raise ExpciError(f"no {EXPERIMENTS_ROOT}/{name}/{SPEC_NAME} at {commit[:12]}; {hint}")
    return draft_at(git, commit, name, drafts[name])


def draft_at(git: Git, commit: str, name: str, directory: str) -> Draft:
    """Read, validate and resolve one experiment at a commit."""
    defaults = reviewed_defaults(git, commit)
    tree = git.read_files(commit, directory)
    file = f"{directory}/{SPEC_NAME}"
    if SPEC_NAME not in tree:
        problem = Problem(file, None, "", "no such file in this commit", "commit it first")
        return Draft(name, directory, None, (problem,))
    text = decode_spec(tree[SPEC_NAME].data, file)
    if isinstance(text, Problem):
        return Draft(name, directory, None, (text,))
    reading = parse.read_experiment(name, text, tree, defaults, file)
    if reading.experiment is None:
        legible, base = reading.legible, git.read_tree(commit)
        more = parse.base_problems(legible, tree, base, file) if legible else ()
        return Draft(name, directory, None, parse.all_problems(reading, more))
    problems = arm_problems(git, commit, reading.experiment, tree, file)
    if problems:
        return Draft(name, directory, None, problems)
    problems = (
        *parse.base_problems(reading.experiment, tree, git.read_tree(commit), file),
        *case_problems(git, commit, reading, file),
    )
    plan = None if problems else freeze(git, commit, reading.experiment, directory)
    return Draft(name, directory, plan, problems)


def freeze(git: Git, commit: str, experiment: Experiment, directory: str) -> Plan:
    """The plan of a valid experiment: every arm's content of every varied path."""
    tree = git.read_files(commit, directory)
    files = variant_files(experiment.arms, tree)
    blobs = git.read_tree(commit, directory)
    experiment = with_cases(git, commit, experiment)
    frozen = experiment.cases.frozen if experiment.cases else ()
    arms = variant.varied_content(git, tree, experiment.arms, commit)
    return Plan(
        id=plan_id(files, frozen),
        experiment=experiment,
        base=commit,
        directory=directory,
        files={path: blobs[path] for path in files},
        arms=arms,
        shipped=_shipped(git, commit, experiment, tree),
    )


def with_cases(git: Git, tree: str, experiment: Experiment) -> Experiment:
    """The experiment with the cases that a commit (or tree) holds, frozen; `BadCases` else."""
    if experiment.cases is None:
        return experiment
    frozen = read_cases(git, tree, experiment.cases).cases
    return replace(experiment, cases=replace(experiment.cases, frozen=frozen))


def excluded_cases(git: Git, tree: str, experiment: Experiment) -> tuple[str, ...]:
    """What the cases of a commit (or tree) leave out, in sentences; nothing if they are bad."""
    try:
        return read_cases(git, tree, experiment.cases).notes if experiment.cases else ()
    except (BadCases, ExpciError):  # `case_problems` says so
        return ()


def case_problems(git: Git, tree: str, reading: Reading, file: str) -> tuple[Problem, ...]:
    """What keeps the cases of a commit (or tree) from being the units of the plan."""
    experiment = reading.experiment
    if experiment is None or experiment.cases is None:
        return ()
    try:
        ids = [case.id for case in read_cases(git, tree, experiment.cases).cases]
    except BadCases as error:
        problems = [Problem(file, None, "cases", error.message, error.fix)]
    except ExpciError as error:
        problems = [Problem(file, None, "cases", str(error), "correct that first")]
    else:
        problems = list(frozen_problems(experiment, ids, file))
    return tuple(_at_its_line(problem, reading.origins) for problem in problems)


def _at_its_line(problem: Problem, origins: Mapping[str, str]) -> Problem:
    """The problem with the line where its key stands."""
    line = origins.get(problem.path, "").rpartition(":")[2]
    return replace(problem, line=int(line)) if line.isdecimal() else problem


def arm_problems(
    git: Git, commit: str, experiment: Experiment, tree: Mapping[str, File], file: str
) -> tuple[Problem, ...]:
    """What keeps the arms from being put on `commit`: `start` freezes nothing that this refuses.

    `tree` are the experiment's own files, committed or not.
    """
    try:
        variant.varied_content(git, tree, experiment.arms, commit)
        _shipped(git, commit, experiment, tree)
    except GitError as error:
        fix = "make the patch again: `git diff` of the change against the present files"
        return (Problem(file, None, "arms", str(error), fix),)
    except ExpciError as error:
        return (Problem(file, None, "arms", str(error), "correct the arm"),)
    return ()


def _shipped(
    git: Git, commit: str, experiment: Experiment, tree: Mapping[str, File]
) -> dict[str, Paths]:
    """What promoting an env-only arm puts on the base branch; empty where arms are files."""
    ship = [
        Arm(arm.name, files=None, patch=arm.promote)
        if arm.promote in tree
        else Arm(arm.name, files=arm.promote)
        for arm in experiment.treatments
        if arm.promote
    ]
    if not ship:
        return {}
    content_by_arm: dict[str, Paths] = {}
    base: dict[str, Blob | None] = {}
    for arm in ship:
        content = variant.varied_content(git, tree, [Arm(CONTROL), arm], commit)
        content_by_arm[arm.name] = content[arm.name]
        base |= content[CONTROL]
    return content_by_arm | {CONTROL: base}
