"""Whether a job takes part: what is published, what the checkout holds, and that they agree.

Commands, environment and files come from the checkout's own history, which was reviewed;
the published document only names hashes that they must have. So a ref that escapes
review can keep a job out of an experiment, but put nothing into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from expci.core.assignment import Rule
from expci.core.model.arm import CONTROL, DEFAULTS_FILE, Arm
from expci.core.model.content import FileTree, Paths
from expci.core.spec.strict_yaml import NotPlain
from expci.core.spec.variant_paths import arm_paths
from expci.core.spelling import suggestion
from expci.core.value_class import dataclass, replace
from expci.errors import GitError, Unreachable
from expci.runner.experiment_files import (
    ExperimentFiles,
    before_removal,
    ids_on_disk,
    read_content,
    roots_at,
)
from expci.store.git.git import DEEPEN, Git
from expci.store.published import Exposure, Published
from expci.store.variant import base_content, varied_content

_COLLECTING = ("running", "promoting", "watching")
_REWRITTEN = (
    "its history was rewritten, and holds nothing to compare with. To undo the promotion: `expci "
    "rollback {0} --reason … --force`; to keep it, and end the watch: `expci stop {0}`"
)

_OLDER = (
    "this checkout's HEAD holds what stood before {0} was promoted: check out the newest commit of "
    "the branch that it was promoted on"
)
_CHANGED = "what {0} promoted has changed since: nothing can be compared"


@dataclass(frozen=True)
class Eligible:
    """A job that may take part. `commit` is where the content was read."""

    experiment: str
    exposure: Exposure
    content: ExperimentFiles
    commit: str

    @property
    def rule(self) -> Rule:
        return self.exposure.rule

    @property
    def is_watching(self) -> bool:
        return self.exposure.state == "watching"


@dataclass(frozen=True)
class Ineligible:
    """A job that does not take part: a code, and why and what to do in words."""

    experiment: str
    code: str
    reason: str


def assess(
    git: Git, document: Published, experiment: str, roots: Sequence[str] = ()
) -> Eligible | Ineligible:
    """The experiment as this checkout may run it, or why it may not.

    Without `roots` it is looked for where the checkout's own defaults say.
    """
    try:
        return _assess(git, document, experiment, roots)
    except Unreachable as error:
        return Ineligible(experiment, "objects_missing", str(error))


def _assess(
    git: Git, document: Published, experiment: str, roots: Sequence[str]
) -> Eligible | Ineligible:
    try:
        roots = roots or roots_at(git, "HEAD")
    except NotPlain as error:
        why = f"{DEFAULTS_FILE}:{error.line} cannot be read here: {error.message}; {error.fix}"
        return Ineligible(experiment, "defaults_broken", why)
    exposure = document.experiments.get(experiment)
    base = "" if exposure is None else exposure.base
    here = read_content(git, "HEAD", experiment, roots, base)
    if exposure is None:
        names = {*document.experiments, *ids_on_disk(git)}
        return _not_published(experiment, here, names)
    if exposure.state not in _COLLECTING:
        why = f"{experiment} is {exposure.state}; no trials are taken until it is resumed"
        return Ineligible(experiment, exposure.state, why)
    if here is not None and here.plan == exposure.plan:
        return Eligible(experiment, exposure, here, "HEAD")
    if exposure.state == "watching" and exposure.source is not None:
        return _from_source(git, exposure, experiment, roots)
    return _not_the_plan(experiment, exposure, here)


def awaiting_merge(document: Published, experiment: str | None, slot: str | None) -> list[str]:
    """Why jobs of a slot take no part in experiments that are started and not merged yet.

    One sentence for each: of the one `experiment`, or of all that share the `slot`.
    """
    return [
        f"{name} is not on the base branch yet: jobs with the slot {exposure.slot} take part from "
        "the first pass after it is merged"
        for name, exposure in sorted(document.experiments.items())
        if exposure.mode == "lab" and exposure.slot is not None and exposure.state in _COLLECTING
        if (name == experiment if slot is None else exposure.slot == slot)
    ]


def _not_published(
    experiment: str, here: ExperimentFiles | None, names: Iterable[str]
) -> Ineligible:
    if here is None:
        hint = suggestion(experiment, names, "`expci status` lists them")
        return Ineligible(
            experiment,
            "unknown",
            f"there is no running experiment {experiment!r}, nor one in this checkout's HEAD; "
            f"{hint}",
        )
    return Ineligible(
        experiment,
        "not_started",
        f"{experiment} is not running: `expci start {experiment}` starts one that never ran, "
        f"`expci trial {experiment} --pilot` tries it out on this machine, and "
        f"`expci status {experiment}` tells how one ended",
    )


def _not_the_plan(experiment: str, exposure: Exposure, here: ExperimentFiles | None) -> Ineligible:
    if here is None:
        why = (
            f"{experiment} is {exposure.state}, but this checkout's HEAD does not hold it: check "
            "out the branch that proposes it, or merge it"
        )
        return Ineligible(experiment, "not_in_checkout", why)
    return Ineligible(
        experiment,
        "plan_changed",
        f"{experiment} in this checkout's HEAD is not the plan that was started (here "
        f"{here.plan[:12]}, started {exposure.plan[:12]}): check out that content, or start the "
        f"new plan with `expci start {experiment}`",
    )


def _from_source(
    git: Git, exposure: Exposure, experiment: str, roots: Sequence[str]
) -> Eligible | Ineligible:
    """While watching, the experiment is read from the commit before its promotion."""
    source = exposure.source or ""
    if git.resolve(source) is not None and git.is_ancestor(source, "HEAD"):
        content = read_content(git, source, experiment, roots, exposure.base)
        if content is None or content.plan != exposure.plan:
            return _not_the_plan(experiment, exposure, content)
        return Eligible(experiment, exposure, content, source)
    before = before_removal(git, "HEAD", [f"{root}/{experiment}" for root in roots])
    content = read_content(git, before, experiment, roots, exposure.base) if before else None
    if before and content and content.plan == exposure.plan:
        return Eligible(experiment, replace(exposure, source=before), content, before)
    return Ineligible(
        experiment,
        "history_missing",
        f"{experiment} was promoted, and the commit before that ({source[:12]}) is not in "
        f"this checkout's history; {_history_advice(git, experiment)}",
    )


def _history_advice(git: Git, experiment: str) -> str:
    return DEEPEN if git.is_shallow else _REWRITTEN.format(experiment)


def arm_contents(git: Git, eligible: Eligible) -> dict[str, Paths] | Ineligible:
    """What each arm puts at every varied path, built from this checkout's history alone."""
    # A partial clone loads them now, and not when git merges or applies a patch.
    git.sizes(blob.oid for blob in eligible.exposure.paths.values() if blob is not None)
    if eligible.is_watching:
        return _watched(git, eligible)
    try:
        contents = varied_content(
            git, eligible.content.files, eligible.content.arms, eligible.exposure.paths
        )
    except GitError as error:
        return Ineligible(eligible.experiment, "variant_broken", str(error))
    if not _same_paths(contents, eligible.exposure.paths):
        return _unlike_published(eligible)
    unproven = _not_in_history(git, eligible.exposure)
    if unproven:
        return Ineligible(
            eligible.experiment,
            "history_missing",
            f"what control needs ({unproven[0]!r} as of {eligible.exposure.base[:12]}) is not in "
            f"this checkout's history; {DEEPEN}",
        )
    return dict(contents)


def _same_paths(contents: Mapping[str, Paths], wanted: Paths) -> bool:
    return all(paths.keys() == wanted.keys() for paths in contents.values())


def _unlike_published(eligible: Eligible) -> Ineligible:
    return Ineligible(
        eligible.experiment,
        "published_differs",
        f"the published document names other varied paths for {eligible.experiment} than its own "
        "files do; `expci fsck` checks it",
    )


def _not_in_history(git: Git, exposure: Exposure) -> list[str]:
    """Published paths whose content neither HEAD nor the plan's base commit vouches for."""
    at_head = git.read_paths("HEAD", exposure.paths)
    moved = [path for path, blob in exposure.paths.items() if at_head[path] != blob]
    if not moved:
        return []
    base = git.resolve(exposure.base)
    if base is None or not git.is_ancestor(base, "HEAD"):
        return moved
    at_base = git.read_paths(base, moved)
    return [path for path in moved if at_base[path] != exposure.paths[path]]


def _watched(git: Git, eligible: Eligible) -> dict[str, Paths] | Ineligible:
    """While watching: control is what stood before the promotion, the others are HEAD's."""
    reviewed = {
        path for arm in eligible.content.arms for path in _all_paths(arm, eligible.content.files)
    }
    if not eligible.exposure.paths.keys() <= reviewed:
        return _unlike_published(eligible)
    before = base_content(git, eligible.exposure.paths, eligible.exposure.source or "")
    here = git.read_paths("HEAD", eligible.exposure.paths)
    if here != dict(eligible.exposure.paths):
        why = _OLDER if here == before else _CHANGED
        return Ineligible(eligible.experiment, "file_changed", why.format(eligible.experiment))
    return {
        arm: before if arm == CONTROL else dict(eligible.exposure.paths)
        for arm in eligible.exposure.weights
    }


def _all_paths(arm: Arm, files: FileTree) -> Iterable[str]:
    """What the arm varies or ships."""
    if arm.promote is None:
        return arm_paths(arm, files)
    is_patch = arm.promote in files
    shipped = replace(
        arm, files=None if is_patch else arm.promote, patch=arm.promote if is_patch else None
    )
    return (*arm_paths(arm, files), *arm_paths(shipped, files))


def arm_environment(eligible: Eligible, arm: str) -> Mapping[str, str]:
    """The variables that the arm sets; a promoted arm that shipped files instead sets none."""
    spec = eligible.content.spec.arms[arm]
    return {} if eligible.is_watching and spec.promote is not None else spec.env
