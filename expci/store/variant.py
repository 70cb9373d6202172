"""What each arm of an experiment puts at which path of the repository.

`varied` is the one answer to that question: the start freezes it, a trial puts it in
place, the promotion merges it. Every path of the union is named for every arm, so arms
differ in nothing else. Standard library only (the trial path).
"""

from __future__ import annotations

from collections.abc import Iterable

from expci.core.model.arm import Arm
from expci.core.model.content import Blob, FileTree, Paths, overlay_files
from expci.core.spec.variant_paths import ancestors, path_refusal
from expci.errors import ExpciError, GitError
from expci.store.git.git import Git
from expci.store.git.refusal import visible_text


def varied_content(
    git: Git, files: FileTree, arms: Iterable[Arm], base: str | Paths
) -> dict[str, dict[str, Blob | None]]:
    """Each arm's content of every path that any arm varies; `None` is "no such file".

    `files` are the experiment's own, relative to its directory. `base` is the commit that
    the arms change, or the content of the varied paths there. The blobs are in the
    repository afterwards. `ExpciError` for a path that must not be varied.
    """
    changes = {arm.name: arm_changes(git, files, arm, base) for arm in arms}
    union = sorted({path for change in changes.values() for path in change})
    content = base_content(git, union, base)
    return {arm: {**content, **change} for arm, change in changes.items()}


def arm_changes(git: Git, files: FileTree, arm: Arm, base: str | Paths) -> dict[str, Blob | None]:
    """What one arm changes against `base`: overlay files, deletions and its patch."""
    overlay = {p: file for p, file in overlay_files(arm.files, files).items() if file is not None}
    _refuse_links(arm, overlay)
    if arm.files is not None and not overlay:
        raise ExpciError(f"arm {arm.name}: `files: {arm.files}` holds no files in this commit")
    oids = git.write_blobs([file.data for file in overlay.values()])
    change: dict[str, Blob | None] = dict.fromkeys(arm.delete)
    if arm.patch is not None:
        change |= _patched(git, _patch_bytes(arm, files), arm.name, base)
    change |= {
        path: Blob(file.mode, oid) for (path, file), oid in zip(overlay.items(), oids, strict=True)
    }
    for path in change:
        refuse_path(path)
    if isinstance(base, str):
        _refuse_passages(git, base, change)
    return change


def base_content(git: Git, paths: Iterable[str], base: str | Paths) -> dict[str, Blob | None]:
    """The content of `paths` at `base`; a link or submodule among them is refused."""
    wanted = list(paths)
    if isinstance(base, str):
        content = git.read_paths(base, wanted)
    else:
        unknown = [path for path in wanted if path not in base]
        if unknown:
            raise ExpciError(f"the plan does not name the varied path {unknown[0]!r}")
        content = {path: base[path] for path in wanted}
    for path, blob in content.items():
        if blob is not None and not blob.mode.startswith("100"):
            raise ExpciError(f"{path!r} is a {_kind(blob)} in the repository; vary a regular file")
    return content


def refuse_path(path: str) -> None:
    """`ExpciError` for a path that an experiment must not write, whatever its content."""
    refusal = path_refusal(path)
    if refusal is not None:
        raise ExpciError("; ".join(refusal))


def _refuse_links(arm: Arm, overlay: FileTree) -> None:
    for path, file in overlay.items():
        if not file.mode.startswith("100"):
            kind = _kind(Blob(file.mode, ""))
            raise ExpciError(f"arm {arm.name}: {path!r} is a {kind}; put a regular file there")


def _refuse_passages(git: Git, base: str, change: Paths) -> None:
    """No varied path may lead through a symbolic link, a submodule or a file."""
    parents = {parent for path in change for parent in ancestors(path)} - change.keys()
    for parent, blob in git.read_paths(base, sorted(parents)).items():
        if blob is not None:
            raise ExpciError(
                f"{parent!r} is a {_kind(blob)} in the repository, so nothing can be put below it"
            )


def _kind(blob: Blob) -> str:
    return {"120000": "symbolic link", "160000": "submodule"}.get(blob.mode, "file")


def _patch_bytes(arm: Arm, files: FileTree) -> bytes:
    file = files.get(arm.patch or "")
    if file is None or not file.mode.startswith("100"):
        raise ExpciError(f"arm {arm.name}: there is no patch file {arm.patch!r} in this commit")
    return file.data


def _patched(git: Git, patch: bytes, arm: str, base: str | Paths) -> dict[str, Blob | None]:
    """Paths that the patch changes, applied to `base` in an index of its own."""
    if isinstance(base, str):
        before, tree = None, git.tree_of(base)
    else:
        before, tree = dict(base), git.write_tree(None, _existing(base))
    with git.scratch_index(tree) as env:
        result = git.attempt(
            "apply",
            "--cached",
            "--whitespace=nowarn",
            "-",
            stdin=patch,
            env=env,
            config=("apply.ignoreWhitespace=no", "core.sparseCheckout=false"),
        )
        if result.returncode != 0:
            stderr = "; ".join(visible_text(result.stderr).splitlines())
            raise GitError(
                f"arm {arm}: its patch does not apply to the plan's base: {stderr}", stderr
            )
        output = git.run("diff-index", "--cached", "--raw", "-z", "--no-renames", tree, env=env)
    change = _raw_rows(output)
    if not change:
        raise ExpciError(
            f"arm {arm}: its patch changes nothing, since it adds the lines that it takes away; "
            "make it with `git diff > FILE`"
        )
    if before is not None and (strange := change.keys() - before.keys()):
        raise ExpciError(f"the plan does not name the varied path {min(strange)!r}")
    for path, blob in change.items():
        if blob is not None and not blob.mode.startswith("100"):
            raise ExpciError(f"arm {arm}: its patch makes {path!r} a {_kind(blob)}")
    return change


def _existing(base: Paths) -> dict[str, Blob | None]:
    return {path: blob for path, blob in base.items() if blob is not None}


def _raw_rows(output: bytes) -> dict[str, Blob | None]:
    """`git diff-index --raw -z`: `:old-mode new-mode old-oid new-oid status`, then the path."""
    fields = [field.decode(errors="surrogateescape") for field in output.split(b"\0") if field]
    rows: dict[str, Blob | None] = {}
    for meta, path in zip(fields[::2], fields[1::2], strict=True):
        _, mode, _, oid, status = meta.split(" ")
        rows[path] = None if status == "D" else Blob(mode, oid)
    return rows
