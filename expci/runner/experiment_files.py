"""An experiment's files as the trial path reads them: at a commit, or on disk before the start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from expci.core.model.arm import DEFAULTS_FILE, EXPERIMENTS_ROOT, Arm
from expci.core.model.content import SPEC_NAME, File, FileTree, plan_id, variant_files
from expci.core.spec.job_reader import PlainDefaults, PlainSpec, read_plain, read_plain_defaults
from expci.core.spec.strict_yaml import NotPlain, plain_values
from expci.core.value_class import dataclass
from expci.errors import ExpciError
from expci.store.git.git import Git

# Few experiments have cases, and every job waits for what it imports.
if TYPE_CHECKING:
    from expci.core.model.cases import CaseSource
    from expci.store.cases import CaseContent

ROOTS = (EXPERIMENTS_ROOT,)
_LINK = File("120000", b"")


@dataclass(frozen=True)
class ExperimentFiles:
    """An experiment as one commit (or the disk) holds it. `directory` is repository-relative."""

    directory: str
    spec: PlainSpec
    files: FileTree
    plan: str
    cases: tuple[CaseContent, ...] = ()

    @property
    def words(self) -> frozenset[str]:
        """Every word of `experiment.yml`: the metrics that the plan asks for are among them."""
        text = self.files[SPEC_NAME].data.decode(errors="replace")
        return frozenset(re.findall(r"[A-Za-z_][A-Za-z0-9_.-]*", text))

    @property
    def primary(self) -> str | None:
        """The name of the primary metric; `None` where the file is not plain enough to tell."""
        text = self.files[SPEC_NAME].data.decode(errors="replace")
        try:
            listed = plain_values(text, ("metrics",))[0].get("metrics")
        except NotPlain:
            return None
        for item in listed if isinstance(listed, list) else ():
            if isinstance(item, dict) and item.get("role") == "primary":
                return str(item.get("name"))
        return None

    @property
    def arms(self) -> tuple[Arm, ...]:
        return tuple(self.spec.arms.values())


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
    git: Git, revision: str, experiment: str, roots: Sequence[str] = ROOTS, base: str = ""
) -> ExperimentFiles | None:
    """The experiment at `revision`; `None` when no root holds it there.

    Merges to replay are those up to the commit `base`, where it is named.
    """
    for root in roots:
        directory = f"{root}/{experiment}"
        files = git.read_files(revision, directory)
        if SPEC_NAME in files:
            return _content(git, directory, files, base or revision, revision)
    return None


def before_removal(git: Git, tip: str, directories: Sequence[str]) -> str | None:
    """The commit before the latest change of an experiment's file, such as its promotion.

    Where history was rewritten it stands for the commit that the promotion was made on.
    """
    files = [f":(top,literal){directory}/{SPEC_NAME}" for directory in directories]
    removal = git.text("rev-list", "-1", "--first-parent", tip, "--", *files)
    return git.resolve(f"{removal}^") if removal else None


def ids_on_disk(git: Git) -> set[str]:
    """The experiments that lie on disk, committed or not."""
    try:
        roots = defaults_on_disk(git).roots or ROOTS
    except NotPlain:
        roots = ROOTS
    specs = (path for root in roots for path in (git.root / root).glob(f"*/{SPEC_NAME}"))
    return {path.parent.name for path in specs}


def read_draft(git: Git, experiment: str, roots: Sequence[str] = ROOTS) -> ExperimentFiles | None:
    """The experiment as it lies on disk, committed or not."""
    for root in roots:
        directory = git.root / root / experiment
        if (directory / SPEC_NAME).is_file():
            files = _disk_files(git, f"{root}/{experiment}")
            return _content(git, f"{root}/{experiment}", files, "HEAD")
    return None


def _disk_files(git: Git, directory: str) -> dict[str, File]:
    """The files below `directory` as git would commit them: through its filters."""
    top = git.root / directory
    paths = [path for path in sorted(top.rglob("*")) if path.is_symlink() or path.is_file()]
    links = {path.relative_to(top).as_posix(): _LINK for path in paths if path.is_symlink()}
    regular = [path.relative_to(git.root).as_posix() for path in paths if not path.is_symlink()]
    from expci.store.git import disk_files

    committed = disk_files.as_committed(git, regular)
    return links | {path.removeprefix(f"{directory}/"): file for path, file in committed.items()}


def _content(
    git: Git, directory: str, files: FileTree, base: str, tree: str | None = None
) -> ExperimentFiles:
    """The experiment of these files, with the cases of `tree`; without one, of the disk."""
    try:
        text = files[SPEC_NAME].data.decode()
    except UnicodeDecodeError as error:
        raise ExpciError(f"{directory}/{SPEC_NAME} is not UTF-8 text") from error
    spec = read_plain(text)
    arms = tuple(spec.arms.values())
    own = variant_files(arms, files)
    contents = _cases(git, spec.cases, tree, base)
    plan = plan_id(own, (content.case for content in contents))
    return ExperimentFiles(directory, spec, own, plan, contents)


def _cases(
    git: Git, source: CaseSource | None, tree: str | None, base: str
) -> tuple[CaseContent, ...]:
    if source is None:
        return ()
    from expci.core.model.cases import BadCases
    from expci.store import cases

    try:
        place = cases.working_tree(git, source) if tree is None else tree
        return cases.read_cases(git, place, source, base).contents
    except BadCases as error:
        raise ExpciError(f"cases: {error}") from error
