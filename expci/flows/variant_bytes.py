"""Whether the bytes that lie in an experiment's directory are those that run and are promoted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from expci.core.model.content import SPEC_NAME, File, FileTree, overlay_files, variant_files
from expci.core.model.experiment import Experiment
from expci.core.spec.base_conflicts import is_litter
from expci.core.spec.yaml_document import Problem
from expci.store.git import disk_files
from expci.store.git.git import Git

_EMPTY = File("100644", b"")


def through_filters(git: Git, directory: str, tree: FileTree) -> FileTree:
    """The files of an experiment on disk as a commit would hold them."""
    regular = [f"{directory}/{path}" for path, file in tree.items() if file.mode.startswith("100")]
    committed = disk_files.as_committed(git, regular)
    return {path: committed.get(f"{directory}/{path}", file) for path, file in tree.items()}


def ignored_files(git: Git, directory: str, experiment: Experiment) -> list[str]:
    """Files of a variant that lie on disk and are in no commit, since git ignores them."""
    ignored = [path.removeprefix(f"{directory}/") for path in disk_files.ignored(git, directory)]
    placeholder: FileTree = dict.fromkeys(ignored, _EMPTY)
    own = variant_files(experiment.arms, placeholder)
    return [path for path in own if path != SPEC_NAME and not is_litter(path)]


def byte_problems(
    git: Git, directory: str, experiment: Experiment, tree: FileTree
) -> Iterator[Problem]:
    """Files that git leaves out of a commit or overlooks, or would write otherwise in place."""
    file = f"{directory}/{SPEC_NAME}"
    for path in ignored_files(git, directory, experiment):
        message = f"{path!a} lies here and git ignores it, so no commit and no job has it"
        fix = f"commit it with `git add --force {directory}/{path}`, or remove it"
        yield Problem(file, None, "arms", message, fix)
    for path in disk_files.concealed(git, directory):
        message = (
            f"{path!a} lies here changed, and git overlooks it, so no commit and no job has it"
        )
        fix = f"`git update-index --no-assume-unchanged --no-skip-worktree {path}`, then commit it"
        yield Problem(file, None, "arms", message, fix)
    places = {
        target: (f"{directory}/{source.rstrip('/')}/{target}", oid)
        for arm in experiment.arms
        if (source := arm.files) is not None
        for target, oid in _oids(git, source, tree)
    }
    for path in disk_files.differing_bytes(git, places):
        message = (
            f"{path!a} gets other bytes in place than lie in {places[path][0]!a}: .gitattributes "
            "treats the two paths differently (filter, line ends or encoding)"
        )
        yield Problem(file, None, "arms", message, "give both paths the same attributes")


def _oids(git: Git, source: str, tree: FileTree) -> Iterable[tuple[str, str]]:
    files = {path: file for path, file in overlay_files(source, tree).items() if file is not None}
    regular = {path: file for path, file in files.items() if file.mode.startswith("100")}
    oids = git.write_blobs([file.data for file in regular.values()])
    return zip(regular, oids, strict=True)
