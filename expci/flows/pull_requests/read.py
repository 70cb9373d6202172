"""Experiments as a pull request proposes them, read from its newest commit as data.

Nothing is checked out and nothing is run. A fork's content is hostile: sizes are checked
before anything is read, and links, submodules and odd names are refused by the spec's reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from expci.core.model.content import SPEC_NAME, Blob
from expci.core.model.experiment import DEFAULTS_FILE
from expci.core.spec.advice import advise
from expci.core.spec.base_conflicts import lost_executables
from expci.core.spec.parse import slot_conflicts
from expci.core.spec.variant_paths import varied_paths
from expci.core.spec.yaml_document import Problem, printable
from expci.errors import ExpciError
from expci.flows import freeze_plan
from expci.flows.context import Context
from expci.forge.ports import PullRequest
from expci.report.documents.proposal import FileChange
from expci.store.git.git import Git
from expci.store.ledger.plans import Plan

MOST_EXPERIMENTS = 10
MOST_BYTES = 50_000_000  # of one experiment's directory, notes beside its variants included
MOST_FILES = 2_000
MOST_DEFAULTS = 1_000_000
_MOST_DIRECTORIES = 200  # looked at; a command line holds no more of long names
_MOST_ROOTS = 50
_MOST_CHANGES = 20  # files whose difference is given
_CHANGE_BYTES = 100_000  # of one side of a difference


@dataclass(frozen=True)
class Proposed:
    """One experiment of a pull request: its plan, or what is wrong with it."""

    id: str
    directory: str
    plan: Plan | None
    problems: tuple[Problem, ...] = ()
    advice: tuple[str, ...] = ()


def newest_commits(
    app: Context, pulls: Iterable[PullRequest], seconds: float | None = None
) -> dict[int, str]:
    """The newest commit of each pull request, by number, brought here by one fetch.

    A stranger's history may be of any size, so it gets `seconds` and a fetch of its own.
    """
    wanted = {app.forge.pull_requests.head_ref(pull): pull.number for pull in pulls}
    fetched = app.store.remote.fetch(*wanted, seconds=seconds) if wanted else {}
    return {wanted[ref]: commit for ref, commit in fetched.items() if ref in wanted}


def touched(git: Git, base: str | None, head: str, roots: Iterable[str]) -> tuple[str, ...]:
    """Directories of experiments that `head` holds and has added or changed since it left
    `base`, the default branch."""
    require_history(git)
    before = (merge_base(git, base, head) or base) if base else None
    all_roots = sorted({*roots, *_roots(git, head)[:_MOST_ROOTS]})
    changed = _changed(git, before, head, all_roots)
    directories = {
        f"{root}/{path.removeprefix(root + '/').split('/')[0]}"
        for path in changed
        for root in all_roots
        if path.startswith(root + "/") and "/" in path.removeprefix(root + "/")
    }
    wanted = [f"{directory}/{SPEC_NAME}" for directory in sorted(directories)[:_MOST_DIRECTORIES]]
    specs = git.read_paths(head, wanted)
    return tuple(path.rpartition("/")[0] for path, blob in specs.items() if blob is not None)


def require_history(git: Git) -> None:
    """`ExpciError` in a shallow clone, where a branch seems to add whatever it is behind in."""
    if git.is_shallow:
        raise ExpciError(
            "this clone is shallow, so the changes of a pull request cannot be determined: "
            "give actions/checkout `fetch-depth: 0`, or run `git fetch --unshallow`"
        )


def merge_base(git: Git, ours: str, theirs: str) -> str | None:
    """The newest common commit; `None` where this clone has none."""
    result = git.attempt("merge-base", ours, theirs)
    return result.stdout.decode().strip() or None if result.returncode == 0 else None


def _roots(git: Git, head: str) -> tuple[str, ...]:
    """The roots as the pull request's own defaults set them, as far as these can be read."""
    try:
        return (
            ()
            if _heavy(git, head, DEFAULTS_FILE)
            else freeze_plan.reviewed_defaults(git, head).roots
        )
    except ExpciError:
        return ()


def _changed(git: Git, before: str | None, head: str, roots: Sequence[str]) -> list[str]:
    literal = ("--literal-pathspecs",)
    if before is None:
        output = git.run(*literal, "ls-tree", "-r", "-z", "--name-only", head, "--", *roots)
    else:
        options = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff")
        output = git.run(*literal, *options, before, head, "--", *roots)
    return [path.decode(errors="surrogateescape") for path in output.split(b"\0") if path]


def _heavy(git: Git, commit: str, path: str) -> bool:
    blob = git.read_paths(commit, [path])[path]
    size = git.sizes([blob.oid])[blob.oid] if blob else None
    return size is not None and size[1] > MOST_DEFAULTS


# --- one experiment ------------------------------------------------------------------


def read_proposals(git: Git, head: str, directories: Sequence[str]) -> tuple[Proposed, ...]:
    """Every experiment with all its problems, also those that they have with one another."""
    read = [_read(git, head, directory) for directory in directories[:MOST_EXPERIMENTS]]
    if len(directories) > MOST_EXPERIMENTS:
        message = (
            f"the pull request changes {len(directories)} experiments, more than are read at once"
        )
        read[-1] = _refused(read[-1], message, "propose them in several pull requests")
    return tuple(_together(_once(read)))


def _read(git: Git, head: str, directory: str) -> Proposed:
    name = directory.rpartition("/")[2]
    proposed = Proposed(name, directory, None)
    try:
        if refusal := _oversized(git, head, directory):
            return _refused(proposed, refusal, "keep data and results elsewhere")
        if _heavy(git, head, DEFAULTS_FILE):
            return _refused(proposed, f"{DEFAULTS_FILE} is larger than 1 MB", "make it smaller")
        draft = freeze_plan.draft_at(git, head, name, directory)
    except ExpciError as error:
        return _refused(proposed, str(error), "correct that first")
    except Exception as error:
        # What a stranger pushed must not end the pass that looks after everybody's.
        return _refused(proposed, f"cannot be read ({type(error).__name__})", "make it plainer")
    if draft.plan is None:
        return replace(proposed, problems=draft.problems)
    return replace(proposed, plan=draft.plan, advice=_advice(git, head, draft.plan))


def _oversized(git: Git, head: str, directory: str) -> str:
    blobs = git.read_tree(head, directory)
    if len(blobs) > MOST_FILES:
        return f"{directory} holds {len(blobs)} files, more than {MOST_FILES}"
    regular = [blob.oid for blob in blobs.values() if blob.mode.startswith("100")]
    size = sum(size[1] for size in git.sizes(regular).values() if size)
    return f"{directory} holds {size / 1e6:.0f} MB, more than 50 MB" if size > MOST_BYTES else ""


def _advice(git: Git, head: str, plan: Plan) -> tuple[str, ...]:
    tree = git.read_files(head, plan.directory)
    lost = lost_executables(plan.experiment, tree, git.read_tree(head))
    return (*map(printable, lost), *advise(plan.experiment, varied_paths(plan.experiment, tree)))


def _refused(proposed: Proposed, message: str, fix: str) -> Proposed:
    problem = Problem(f"{proposed.directory}/{SPEC_NAME}", None, "", message, fix)
    return replace(proposed, plan=None, problems=(*proposed.problems, problem))


def _once(read: Sequence[Proposed]) -> Iterator[Proposed]:
    """An id stands for one directory only."""
    places: dict[str, str] = {}
    for proposed in read:
        first = places.setdefault(proposed.id, proposed.directory)
        message = f"the id {proposed.id} is used in {first} too"
        same = first == proposed.directory
        yield proposed if same else _refused(proposed, message, "rename one of the directories")


def _together(read: Iterable[Proposed]) -> Iterator[Proposed]:
    """Two of one pull request must not take one file of one slot."""
    proposals = list(read)
    valid = [proposed.plan for proposed in proposals if proposed.plan is not None]
    problems = slot_conflicts(
        [(plan.experiment, plan.varied) for plan in valid],
        {plan.experiment.id: plan.directory for plan in valid},
    )
    for proposed in proposals:
        mine = tuple(p for p in problems if p.file.split("/")[-2] == proposed.id and proposed.plan)
        yield replace(proposed, plan=None, problems=mine) if mine else proposed


# --- what varies ---------------------------------------------------------------------


def variant_differences(git: Git, plan: Plan) -> tuple[FileChange, ...]:
    """The difference of each treatment's files from what the plan's base holds."""
    empty = git.write_blobs([b""])[0]
    base = plan.promote_base
    pairs = [
        (arm.name, path, base(arm.name).get(path), blob)
        for arm in plan.experiment.treatments
        for path, blob in plan.promotes(arm.name).items()
    ]
    changes = [_change(git, *pair, empty) for pair in pairs[:_MOST_CHANGES]]
    return (*changes, *(FileChange(arm, path) for arm, path, _, _ in pairs[_MOST_CHANGES:]))


def _change(
    git: Git, arm: str, path: str, old: Blob | None, new: Blob | None, empty: str
) -> FileChange:
    note = _note(old, new)
    sides = (old.oid if old else empty, new.oid if new else empty)
    sizes = git.sizes(sides)
    if any(size is None or size[1] > _CHANGE_BYTES for size in sizes.values()):
        return FileChange(arm, path, (), "; ".join(filter(None, [note, "too large to show"])))
    options = ("--no-ext-diff", "--no-textconv", "--no-color", "--unified=3")
    text = git.run("diff", *options, *sides).decode(errors="replace")
    lines = text.split("\n")
    start = next((n for n, line in enumerate(lines) if line.startswith("@@")), None)
    if start is None:
        binary = "a binary file" if "Binary files" in text else ""
        return FileChange(arm, path, (), "; ".join(filter(None, [note, binary])))
    changed = [line.removesuffix("\r") for line in lines[start:]]
    return FileChange(arm, path, tuple(changed[:-1] if not changed[-1] else changed), note)


def _note(old: Blob | None, new: Blob | None) -> str:
    if old is None or new is None:
        return "new file" if old is None else "deleted"
    executable = {"100755": "made executable", "100644": "no longer executable"}
    return executable.get(new.mode, "") if old.mode != new.mode else ""
