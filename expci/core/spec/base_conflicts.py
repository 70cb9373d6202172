"""What is wrong with variants against the tree that they change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from expci.core.model.content import SPEC_NAME, Blob, File, FileTree, Paths, overlay_files
from expci.core.model.experiment import Arm, Experiment
from expci.core.spec.variant_paths import ancestors, arm_paths, case_folded
from expci.core.spec.variants import ODD_MODES, Complaint, spec_file
from expci.core.spec.yaml_document import Problem, dotted, read_document

_LITTER = re.compile(
    r"\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|\.directory|.*~|\.?#.*#?|\..*\.sw[a-p]|"
    r"\.nfs[0-9a-f]+|\.fuse_hidden[0-9a-f]+|.*\.(orig|rej|pyc|pyo|bak|tmp)",
    re.IGNORECASE,
)


def base_problems(
    experiment: Experiment, tree: FileTree, base: Paths, file: str | None = None
) -> tuple[Problem, ...]:
    """Return everything that is wrong with the variants against `base`.

    `tree` is the experiment's directory. `base` holds the repository's files by path: all of
    them, or the varied paths only (`None` is no such file), in which case directories and
    look-alikes around them go unseen.

    >>> from support.report_samples import experiment
    >>> tree = {"treatment/review.sh": File("100644", b"x")}
    >>> [problem] = base_problems(experiment(), tree, {"review.sh": Blob("120000", "aa")})
    >>> problem.message, problem.fix
    ("'review.sh' is a symlink in the repository", 'vary plain files only')
    """
    return (
        *unchanged_problems(experiment, tree, base, file),
        *misplaced_problems(experiment, tree, base, file),
    )


def unchanged_problems(
    experiment: Experiment, tree: FileTree, base: Paths, file: str | None = None
) -> tuple[Problem, ...]:
    """Return the variant files that are still as the repository has them.

    >>> from support.report_samples import experiment
    >>> empty = Blob("100644", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")  # as git hashes it
    >>> tree = {"treatment/review.sh": File("100644", b"")}
    >>> [problem] = unchanged_problems(experiment(), tree, {"review.sh": empty})
    >>> problem.message
    "'review.sh' is the same as in the repository: changes nothing"
    """
    there = _existing(base)
    complaints = (item for arm in experiment.treatments for item in _unchanged(arm, tree, there))
    return _located(complaints, tree, file or spec_file(experiment))


def misplaced_problems(
    experiment: Experiment, tree: FileTree, base: Paths, file: str | None = None
) -> tuple[Problem, ...]:
    """Return the variant paths that the repository has no place for.

    >>> from support.report_samples import experiment
    >>> tree = {"treatment/review.sh/run": File("100644", b"x")}
    >>> [problem] = misplaced_problems(experiment(), tree, {"review.sh": Blob("100644", "aa")})
    >>> problem.message
    "'review.sh/run' passes through 'review.sh', a file, not a directory, in the repository"
    """
    there = _existing(base)
    complaints = (item for arm in experiment.treatments for item in _misplaced(arm, tree, there))
    return _located(complaints, tree, file or spec_file(experiment))


def lost_executables(experiment: Experiment, tree: FileTree, base: Paths) -> tuple[str, ...]:
    """Return advice on variants of executable files that cannot be executed: a lost mode.

    >>> from support.report_samples import experiment
    >>> tree = {"treatment/review.sh": File("100644", b"x")}
    >>> [advice] = lost_executables(experiment(), tree, {"review.sh": Blob("100755", "aa")})
    >>> advice.split(";")[0]
    "arms.treatment.files: 'review.sh' is executable in the repository and its variant is not"
    """
    return tuple(
        f"arms.{arm.name}.files: {target!a} is executable in the repository and its variant is "
        "not; `chmod +x` the variant unless that is what you test"
        for arm in experiment.treatments
        for target, file in sorted(overlay_files(arm.files, tree).items())
        if file is not None
        and file.mode == "100644"
        and (blob := base.get(target)) is not None
        and blob.mode == "100755"
    )


def _existing(base: Paths) -> dict[str, Blob]:
    return {path: blob for path, blob in base.items() if blob is not None}


def _located(complaints: Iterable[Complaint], tree: FileTree, file: str) -> tuple[Problem, ...]:
    """The complaints with the lines of the spec in `tree`."""
    spec = tree.get(SPEC_NAME)
    text = spec.data.decode("utf-8", "replace") if spec else ""
    document = read_document(text, file)
    return tuple(
        Problem(file, document.line(path), dotted(path), message, fix)
        for path, message, fix in complaints
    )


def _unchanged(arm: Arm, tree: FileTree, base: Mapping[str, Blob]) -> Iterator[Complaint]:
    for key, source in (("files", arm.files), ("promote", arm.promote)):
        for target, file in sorted(overlay_files(source, tree).items()):
            if file is not None and target in base and _is_same(file, base[target]):
                path = ("arms", arm.name, key)
                fix = "change the variant's copy or remove it"
                yield path, f"{target!a} is the same as in the repository: changes nothing", fix
            elif file is not None and target in base and _differs_by_line_ends(file, base[target]):
                path = ("arms", arm.name, key)
                message = f"{target!a} differs from the repository's by its line ends only"
                yield path, message, "give it the repository's line ends and change it"


def _misplaced(arm: Arm, tree: FileTree, base: Mapping[str, Blob]) -> Iterator[Complaint]:
    for number, target in enumerate(arm.delete):
        if target not in base:
            yield ("arms", arm.name, "delete", number), *_undeletable(target, base)
    for target in arm_paths(arm, tree):
        if refused := _through(target, base, {*arm.delete}):
            yield ("arms", arm.name), *refused
    new = [target for target in arm_paths(arm, tree) if target not in base]
    for target in new:
        if is_litter(target):
            message = f"{target!a} is a file that an editor, a system or Python leaves behind"
            yield ("arms", arm.name), message, "remove it: it would be promoted with the rest"
    yield from _look_alikes_of_base(arm, new, base)


def _is_same(file: File, blob: Blob) -> bool:
    """Whether a file is what git names by `blob`: same mode and object id (SHA-1 or SHA-256)."""
    name = "sha1" if len(blob.oid) == 40 else "sha256"
    digest = hashlib.new(name, b"blob %d\0" % len(file.data) + file.data, usedforsecurity=False)
    return file.mode == blob.mode and digest.hexdigest() == blob.oid


def _differs_by_line_ends(file: File, blob: Blob) -> bool:
    unix = file.data.replace(b"\r\n", b"\n")
    ends = (unix, unix.replace(b"\n", b"\r\n"))
    return any(_is_same(File(blob.mode, data), blob) for data in ends if data != file.data)


def is_litter(path: str) -> bool:
    """Return whether a file of this name comes from tools and is meant for no repository.

    >>> is_litter("src/.DS_Store"), is_litter("src/__pycache__/a.pyc"), is_litter("src/a.py")
    (True, True, False)
    """
    *directories, name = path.split("/")
    return bool(_LITTER.fullmatch(name)) or "__pycache__" in directories


def _undeletable(target: str, base: Mapping[str, Blob]) -> tuple[str, str]:
    if any(path.startswith(target.rstrip("/") + "/") for path in base):
        return f"{target!a} is a directory", "list the files to delete"
    return f"there is no {target!a} to delete", "correct the path or remove it"


def _through(target: str, base: Mapping[str, Blob], deleted: set[str]) -> tuple[str, str] | None:
    if target in base and base[target].mode in ODD_MODES:
        return (
            f"{target!a} is {ODD_MODES[base[target].mode]} in the repository",
            "vary plain files only",
        )
    for directory in ancestors(target):
        if directory in base and directory not in deleted:
            what = ODD_MODES.get(base[directory].mode, "a file, not a directory,")
            message = f"{target!a} passes through {directory!a}, {what} in the repository"
            return message, "name the real path"
    if target not in base and target not in deleted:
        below = [path for path in base if path.startswith(target + "/")]
        if below and not set(below) <= deleted:
            return f"{target!a} is a directory in the repository", "delete its files by name first"
    return None


def _look_alikes_of_base(
    arm: Arm, new: Sequence[str], base: Mapping[str, Blob]
) -> Iterator[Complaint]:
    if not new:
        return
    spellings: dict[str, str] = {}
    for path in base:
        for part in (*ancestors(path), path):
            spellings.setdefault(case_folded(part), part)
    for target in new:
        for part in (*ancestors(target), target):
            if (other := spellings.get(case_folded(part), part)) != part:
                message = f"{part!a} differs from {other!a} only by case or Unicode form"
                yield ("arms", arm.name), message, "spell the path as the repository does"
                break
