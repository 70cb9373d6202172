"""Whether a job takes part: what is published, what the checkout holds, and that they agree.

Commands, environment and files come from the checkout's own history, which was reviewed;
the published document only names hashes that they must have. So a ref that escapes
review can keep a job out of an experiment, but put nothing into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from expci.core.assignment import Rule
from expci.core.model.content import SPEC_NAME, File, FileTree, Paths, plan_id, variant_files
from expci.core.model.experiment import CONTROL, DEFAULTS_FILE, EXPERIMENTS_ROOT, Arm
from expci.core.spec.job_reader import PlainDefaults, PlainSpec, read_plain, read_plain_defaults
from expci.core.spec.strict_yaml import NotPlain
from expci.core.spec.variant_paths import arm_paths
from expci.errors import ExpciError, GitError, LedgerDamaged, Unreachable
from expci.store import published
from expci.store.git import durable
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.published import Exposure, Published
from expci.store.variant import base_content, varied_content

ROOTS = (EXPERIMENTS_ROOT,)
_COLLECTING = ("running", "promoting", "watching")
_HISTORY = (
    "fetch the history (actions/checkout: `fetch-depth: 0`; elsewhere: git fetch --unshallow)"
)


@dataclass(frozen=True)
class Content:
    """An experiment as one commit (or the disk) holds it. `directory` is repository-relative."""

    directory: str
    spec: PlainSpec
    files: FileTree
    plan: str

    @property
    def arms(self) -> tuple[Arm, ...]:
        return tuple(self.spec.arms.values())


@dataclass(frozen=True)
class Part:
    """A job that may take part. `commit` is where the content was read."""

    experiment: str
    exposure: Exposure
    content: Content
    commit: str

    @property
    def rule(self) -> Rule:
        e = self.exposure
        return Rule(e.plan, e.salt, e.design, e.weights, e.traffic)

    @property
    def is_watching(self) -> bool:
        return self.exposure.state == "watching"


@dataclass(frozen=True)
class Absent:
    """A job that does not take part: a code, and why and what to do in words."""

    experiment: str
    code: str
    reason: str


@dataclass(frozen=True)
class News:
    """The published document and how it was come by; `is_new` if the remote gave it now."""

    document: Published
    warnings: tuple[str, ...] = ()
    is_new: bool = True


def remote_of(git: Git, name: str | None, token: str, environment: Mapping[str, str]) -> Remote:
    """The remote that holds expci's refs; a `token` is for it and nobody else."""
    return Remote.of(git, name, token, environment.get("GITHUB_SERVER_URL", ""))


def fetch(remote: Remote) -> News:
    """The published document: from the remote, or as this clone saw it last."""
    cache = published.cache_path(remote.git)
    try:
        found = published.fetch_published(remote)
    except Unreachable as error:
        why = f"{str(error).rstrip('.')}. Working from what this clone saw last."
        return News(_cached(cache), (why,), is_new=False)
    document = Published() if found is None else found[0]
    durable.replace_file(cache, document.dump())
    return News(document)


def _cached(cache: Path) -> Published:
    try:
        return published.parse_published(cache.read_bytes())
    except (FileNotFoundError, LedgerDamaged):
        return Published()


def take_part(
    git: Git, document: Published, experiment: str, roots: Sequence[str] = ()
) -> Part | Absent:
    """The experiment as this checkout may run it, or why it may not.

    Without `roots` it is looked for where the checkout's own defaults say.
    """
    try:
        roots = roots or roots_at(git, "HEAD")
    except NotPlain as error:
        why = f"{DEFAULTS_FILE}:{error.line} cannot be read here: {error.message}; {error.fix}"
        return Absent(experiment, "defaults_broken", why)
    exposure = document.experiments.get(experiment)
    here = read_content(git, "HEAD", experiment, roots)
    if exposure is None:
        return _not_published(experiment, here)
    if exposure.state not in _COLLECTING:
        why = f"{experiment} is {exposure.state}; no trials are taken until it is resumed"
        return Absent(experiment, exposure.state, why)
    if here is not None and here.plan == exposure.plan:
        return Part(experiment, exposure, here, "HEAD")
    if exposure.state == "watching" and exposure.source is not None:
        return _from_source(git, exposure, experiment, roots)
    return _not_the_plan(experiment, exposure, here)


def _not_published(experiment: str, here: Content | None) -> Absent:
    if here is None:
        return Absent(
            experiment,
            "unknown",
            f"there is no running experiment {experiment!r}, nor one in this checkout's HEAD; "
            "`expci status` lists them",
        )
    return Absent(
        experiment,
        "not_started",
        f"{experiment} has not been started, or has ended: `expci start {experiment}` starts it, "
        f"`expci trial {experiment} --pilot` tries it out on this machine",
    )


def _not_the_plan(experiment: str, exposure: Exposure, here: Content | None) -> Absent:
    if here is None:
        why = (
            f"{experiment} is {exposure.state}, but this checkout's HEAD does not hold it: check "
            "out the branch that proposes it, or merge it"
        )
        return Absent(experiment, "not_in_checkout", why)
    return Absent(
        experiment,
        "plan_changed",
        f"{experiment} in this checkout's HEAD is not the plan that was started (here "
        f"{here.plan[:12]}, started {exposure.plan[:12]}): check out that content, or start the "
        f"new plan with `expci start {experiment}`",
    )


def _from_source(
    git: Git, exposure: Exposure, experiment: str, roots: Sequence[str]
) -> Part | Absent:
    """While watching, the experiment is read from the commit before its promotion."""
    source = exposure.source or ""
    if git.resolve(source) is None or not git.is_ancestor(source, "HEAD"):
        return Absent(
            experiment,
            "history_missing",
            f"{experiment} was promoted, and the commit before that ({source[:12]}) is not in "
            f"this checkout's history; {_HISTORY}",
        )
    content = read_content(git, source, experiment, roots)
    if content is None or content.plan != exposure.plan:
        return _not_the_plan(experiment, exposure, content)
    return Part(experiment, exposure, content, source)


def defaults_at(git: Git, revision: str) -> PlainDefaults:
    """The repository's defaults as a commit holds them; `NotPlain` where they are unreadable."""
    if git.resolve(revision) is None:
        return PlainDefaults()
    blob = git.read_paths(revision, [DEFAULTS_FILE])[DEFAULTS_FILE]
    if blob is None:
        return PlainDefaults()
    return read_plain_defaults(git.cat([blob.oid])[blob.oid].decode(errors="replace"))


def defaults_on_disk(git: Git) -> PlainDefaults:
    """The repository's defaults as they lie on disk, for what has not started yet."""
    path = git.root / DEFAULTS_FILE
    if path.is_symlink() or not path.is_file():
        return PlainDefaults()
    return read_plain_defaults(path.read_text(errors="replace"))


def roots_at(git: Git, revision: str) -> tuple[str, ...]:
    """The directories that hold experiments."""
    return defaults_at(git, revision).roots or ROOTS


def read_content(
    git: Git, revision: str, experiment: str, roots: Sequence[str] = ROOTS
) -> Content | None:
    """The experiment at `revision`; `None` when no root holds it there."""
    for root in roots:
        directory = f"{root}/{experiment}"
        files = git.read_files(revision, directory)
        if SPEC_NAME in files:
            return _content(directory, files)
    return None


def read_draft(git: Git, experiment: str, roots: Sequence[str] = ROOTS) -> Content | None:
    """The experiment as it lies on disk, committed or not."""
    for root in roots:
        directory = git.root / root / experiment
        if (directory / SPEC_NAME).is_file():
            return _content(f"{root}/{experiment}", _disk_files(directory))
    return None


def _disk_files(directory: Path) -> dict[str, File]:
    files = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            files[name] = File("120000", b"")
        elif path.is_file():
            executable = path.stat().st_mode & 0o100
            files[name] = File("100755" if executable else "100644", path.read_bytes())
    return files


def _content(directory: str, files: FileTree) -> Content:
    try:
        text = files[SPEC_NAME].data.decode()
    except UnicodeDecodeError as error:
        raise ExpciError(f"{directory}/{SPEC_NAME} is not UTF-8 text") from error
    spec = read_plain(text)
    arms = tuple(spec.arms.values())
    own = variant_files(arms, files)
    return Content(directory, spec, own, plan_id(own))


def arm_contents(git: Git, part: Part) -> dict[str, Paths] | Absent:
    """What each arm puts at every varied path, built from this checkout's history alone."""
    if part.is_watching:
        return _watched(git, part)
    try:
        contents = varied_content(git, part.content.files, part.content.arms, part.exposure.paths)
    except GitError as error:
        return Absent(part.experiment, "variant_broken", str(error))
    if not _same_paths(contents, part.exposure.paths):
        return _unlike_published(part)
    unproven = _not_in_history(git, part.exposure)
    if unproven:
        return Absent(
            part.experiment,
            "history_missing",
            f"what control needs ({unproven[0]!r} as of {part.exposure.base[:12]}) is not in this "
            f"checkout's history; {_HISTORY}",
        )
    return dict(contents)


def _same_paths(contents: Mapping[str, Paths], wanted: Paths) -> bool:
    return all(paths.keys() == wanted.keys() for paths in contents.values())


def _unlike_published(part: Part) -> Absent:
    return Absent(
        part.experiment,
        "published_differs",
        f"the published document names other varied paths for {part.experiment} than its own "
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


def _watched(git: Git, part: Part) -> dict[str, Paths] | Absent:
    """While watching: control is what stood before the promotion, the others are HEAD's."""
    reviewed = {path for arm in part.content.arms for path in _all_paths(arm, part.content.files)}
    if not part.exposure.paths.keys() <= reviewed:
        return _unlike_published(part)
    if git.read_paths("HEAD", part.exposure.paths) != dict(part.exposure.paths):
        why = f"what {part.experiment} promoted has changed since, so nothing can be compared here"
        return Absent(part.experiment, "file_changed", why)
    before = base_content(git, part.exposure.paths, part.exposure.source or "")
    return {
        arm: before if arm == CONTROL else dict(part.exposure.paths)
        for arm in part.exposure.weights
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


def arm_environment(part: Part, arm: str) -> Mapping[str, str]:
    """The variables that the arm sets; a promoted arm that shipped files instead sets none."""
    spec = part.content.spec.arms[arm]
    return {} if part.is_watching and spec.promote is not None else spec.env
