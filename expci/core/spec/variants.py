"""What is wrong with the arms of an experiment: what they change, and where.

`arm_complaints` needs the experiment's directory only. `base_problems` compares it with the
tree that the variant is written against, `slot_conflicts` experiments with one another.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from expci.core.model.content import SPEC_NAME, FileTree, overlay_files
from expci.core.model.experiment import CONTROL, Arm, Experiment
from expci.core.spec.variant_paths import (
    arm_paths,
    case_folded,
    look_alikes,
    patch_modes,
    patch_paths,
    path_refusal,
    varied_paths,
)
from expci.core.spec.yaml_document import Path, Problem

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TAKEN_NAMES = frozenset({"excluded"})  # `trials` of `expci.analysis/1` has it beside the arms
_RESERVED_ENV = ("EXPCI_", "GITHUB_")
_RUNNER_ENV = ("RUNNER_", "ACTIONS_", "INPUT_", "STATE_")
_DROPPED_ENV = frozenset({"NODE_OPTIONS", "CI", "PATH", "LD_PRELOAD", "BASH_ENV", "ENV"})
# What the loader, the shell, Python and git of every later step go by, expci's own too.
_TAKING_ENV = frozenset({"HOME", "IFS", "SHELLOPTS", "BASHOPTS", "PYTHONHOME"})
_TAKING_PREFIXES = ("LD_", "DYLD_", "GIT_", "BASH_FUNC_")
_HARMLESS_PREFIX = "GIT_LFS_"
_REGULAR = ("100644", "100755")
ODD_MODES = {"120000": "a symlink", "160000": "a submodule"}

Complaint = tuple[Path, str, str]  # key, message, fix


def arm_complaints(
    arms: Sequence[Arm], tree: FileTree, home: str, promotes: bool, slot: str | None = None
) -> Iterator[Complaint]:
    """Yield what is wrong with the arms' changes. `home` is the experiment's directory.

    `promotes` is whether a win is to be shipped, so that something must be there to ship. In a
    `slot` the environment passes through the CI, which does not let every variable through.

    >>> arms = Arm("control"), Arm("treatment", files="treatment/")
    >>> [complaint] = arm_complaints(arms, {}, "experiments/faster", promotes=True)
    >>> complaint[1:]
    ("the directory 'treatment/' is missing or empty", 'put the changed files in treatment/')
    """
    for arm in arms:
        if arm.name in TAKEN_NAMES:
            yield ("arms", arm.name), "is a word of the reports", "give the arm another name"
        if arm.name == CONTROL:
            yield from _control(arm)
        else:
            yield from _treatment(arm, tree, promotes)
        yield from _sources(arm, tree)
        yield from _env(arm)
        if slot is not None:
            yield from _dropped_env(arm)
        yield from _targets(arm, tree, home)
    yield from _mixed_up(arms, tree)


def _control(arm: Arm) -> Iterator[Complaint]:
    for key in ("files", "patch", "delete", "env", "promote"):
        if getattr(arm, key):
            fix = "move it to a treatment; control is the repository as it is"
            yield ("arms", arm.name, key), "control must change nothing", fix


def _treatment(arm: Arm, tree: FileTree, promotes: bool) -> Iterator[Complaint]:
    path = ("arms", arm.name)
    ships = arm.files or arm.patch or arm.delete
    if not ships and not arm.env:
        yield path, "the arm changes nothing", "give it files:, patch:, delete: or env:"
    elif not ships and not arm.promote and promotes:
        fix = "name what to ship with `promote: ship/`, or set `decision: {promote: never}`"
        yield path, "sets env only, so a win would ship nothing", fix
    patched = patch_paths(tree[arm.patch].data) if arm.patch and arm.patch in tree else ()
    placed = overlay_files(arm.files, tree)
    for target in sorted({*placed} & {*arm.delete}):
        yield (*path, "delete"), f"{target!a} is both deleted and overlaid", "keep one of the two"
    for target in sorted({*patched} & {*placed, *arm.delete}):
        message = f"{target!a} is patched and overlaid or deleted too"
        yield (*path, "patch"), message, "change each file in one way only"


def _sources(arm: Arm, tree: FileTree) -> Iterator[Complaint]:
    """The files beside the spec that the arm names."""
    for key, source in (("files", arm.files), ("patch", arm.patch), ("promote", arm.promote)):
        path = ("arms", arm.name, key)
        if source is None:
            continue
        if refused := _source_refusal(source):
            yield path, *refused
        elif key == "patch" or (key == "promote" and source in tree):
            yield from ((path, *complaint) for complaint in _patch(source, tree))
        else:
            yield from ((path, *complaint) for complaint in _directory(source, tree))


def _source_refusal(source: str) -> tuple[str, str] | None:
    if source.rstrip("/") in (".", "", SPEC_NAME):
        return f"{source!a} is the experiment itself", "use a directory of its own: treatment/"
    refused = path_refusal(source.rstrip("/"))
    if refused and ("absolute" in refused[0] or "leaves" in refused[0]):
        return f"{source!a} leaves the experiment's directory", "name a path beside experiment.yml"
    return refused


def _patch(source: str, tree: FileTree) -> Iterator[tuple[str, str]]:
    file = tree.get(source)
    if file is None:
        yield f"there is no file {source!a}", "write it there with `git diff > FILE`"
    elif file.mode not in _REGULAR:
        yield (
            f"{source!a} is {ODD_MODES.get(file.mode, 'not a plain file')}",
            "put the file itself there",
        )
    elif not patch_paths(file.data):
        yield f"{source!a} is no patch of any file", "make it with `git diff > FILE`"
    else:
        for mode in sorted(patch_modes(file.data) & ODD_MODES.keys()):
            yield f"{source!a} makes or changes {ODD_MODES[mode]}", "vary plain files only"


def _directory(source: str, tree: FileTree) -> Iterator[tuple[str, str]]:
    prefix = source.rstrip("/")
    if prefix in tree and tree[prefix].mode in ODD_MODES:
        yield f"{source!a} is {ODD_MODES[tree[prefix].mode]}", "put the files themselves there"
    elif prefix in tree:
        yield f"{source!a} is a file, not a directory", "name the directory, or use `patch:`"
    elif not overlay_files(source, tree):
        yield f"the directory {source!a} is missing or empty", f"put the changed files in {prefix}/"
    for target, file in sorted(overlay_files(source, tree).items()):
        if file is not None and file.mode not in _REGULAR:
            what = ODD_MODES.get(file.mode, "not a plain file")
            yield f"{prefix + '/' + target!a} is {what}", "put the file itself there"


def _env(arm: Arm) -> Iterator[Complaint]:
    for name, value in arm.env.items():
        path = ("arms", arm.name, "env", name)
        if not _ENV_NAME.fullmatch(name):
            yield path, "is not a valid variable name", "use letters, digits and _: REVIEW_MODE"
        elif name.upper().startswith(_RESERVED_ENV):
            yield path, "is a name that expci or the CI sets itself", "use another name"
        if "\0" in value:
            yield path, "holds a NUL character", "remove it"


def _dropped_env(arm: Arm) -> Iterator[Complaint]:
    """Variables that a runner drops or that take the job over: such an arm would be control.

    https://github.com/actions/runner/blob/main/src/Runner.Worker/FileCommandManager.cs
    """
    fix = "vary a file that the job reads, or name a variable of your own in its script"
    for name in arm.env:
        if name.upper() in _DROPPED_ENV or name.upper().startswith(_RUNNER_ENV):
            message = "is not what the job would see: the CI drops it or sets it itself"
            yield ("arms", arm.name, "env", name), message, fix
        elif _takes_over(name.upper()):
            message = "changes what every later step of the job runs, expci's too"
            yield ("arms", arm.name, "env", name), message, fix


def _takes_over(name: str) -> bool:
    if name.startswith(_HARMLESS_PREFIX):
        return False
    return name in _TAKING_ENV or name.startswith(_TAKING_PREFIXES)


def _targets(arm: Arm, tree: FileTree, home: str) -> Iterator[Complaint]:
    """The paths of the repository that the arm touches, or would ship."""
    patch = tree.get(arm.patch) if arm.patch else None
    shipped = tree.get(arm.promote) if arm.promote else None
    targets: list[tuple[Path, Iterable[str]]] = [
        (("files",), overlay_files(arm.files, tree)),
        (("patch",), patch_paths(patch.data) if patch else ()),
        (("promote",), overlay_files(arm.promote, tree)),
        (("promote",), patch_paths(shipped.data) if shipped else ()),
        *((("delete", number), (path,)) for number, path in enumerate(arm.delete)),
    ]
    for key, paths in targets:
        for target in sorted(paths):
            if refused := path_refusal(target) or _at_home(target, home):
                yield ("arms", arm.name, *key), *refused
    if len(set(arm.delete)) < len(arm.delete):
        yield ("arms", arm.name, "delete"), "names a path twice", "keep one of the two"


def _at_home(target: str, home: str) -> tuple[str, str] | None:
    if case_folded(target + "/").startswith(case_folded(home + "/")):
        return f"{target!a} belongs to this experiment itself", "vary other files"
    return None


def _mixed_up(arms: Sequence[Arm], tree: FileTree) -> Iterator[Complaint]:
    owners = {target: arm.name for arm in arms for target in arm_paths(arm, tree)}
    for target, other in look_alikes(sorted(owners)):
        owner = next((owners[path] for path in owners if f"{path}/".startswith(f"{target}/")), "")
        message = f"{target!a} and {other!a} differ only by case or Unicode form"
        yield ("arms", owner), message, "spell the path the same everywhere"


def slot_conflicts(
    experiments: Sequence[tuple[Experiment, Collection[str]]],
    directories: Mapping[str, str] | None = None,
) -> tuple[Problem, ...]:
    """Return experiments of one slot that vary the same file; each comes with its varied paths.

    `directories` are the experiments' own, by id, where they are not below `experiments/`.

    >>> from dataclasses import replace
    >>> from support.report_samples import experiment
    >>> one, other = (replace(experiment(), id=id, slot="review") for id in ("faster", "cheaper"))
    >>> [problem] = slot_conflicts([(one, ["review.sh"]), (other, ["Review.sh"])])
    >>> problem.message
    "varies 'Review.sh' in slot 'review', as faster does"
    """
    problems: list[Problem] = []
    taken: dict[tuple[str, str], str] = {}
    for experiment, paths in experiments:
        if experiment.slot is None:
            continue
        for path in sorted(paths):
            other = taken.setdefault((experiment.slot, case_folded(path)), experiment.id)
            if other != experiment.id:
                message = f"varies {path!a} in slot {experiment.slot!a}, as {other} does"
                fix = f"use another slot, another file, or wait for {other} to end"
                directory = (directories or {}).get(experiment.id)
                file = f"{directory}/{SPEC_NAME}" if directory else spec_file(experiment)
                problems.append(Problem(file, None, "slot", message, fix))
    return tuple(problems)


def live_paths(experiment: Experiment, tree: FileTree) -> tuple[str, ...]:
    """Return every path that any arm of the experiment varies, for `slot_conflicts`.

    >>> from expci.core.model.content import File
    >>> from support.report_samples import experiment
    >>> live_paths(experiment(), {"treatment/src/a.py": File("100644", b"1")})
    ('src/a.py',)
    """
    paths = varied_paths(experiment, tree).values()
    return tuple(sorted({path for arm in paths for path in arm}))


def spec_file(experiment: Experiment) -> str:
    """Return the spec's path below the usual root.

    >>> from support.report_samples import experiment
    >>> spec_file(experiment())
    'experiments/parallel-review/experiment.yml'
    """
    return f"experiments/{experiment.id}/{SPEC_NAME}"
