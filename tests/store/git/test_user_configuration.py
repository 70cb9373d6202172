"""Nothing of the user's configuration or environment changes what our calls of git do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expci.core.model.content import Blob
from expci.errors import ExpciError, Refused
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote, Update
from support.repositories import git

# (key, value) as a user may have it in any of git's configuration files.
PUSHING = [
    ("push.followTags", "true"),
    ("push.default", "upstream"),
    ("push.recurseSubmodules", "only"),
    ("push.gpgSign", "true"),
    ("push.pushOption", "ci.skip"),
    ("push.useForceIfIncludes", "true"),
    ("submodule.recurse", "true"),
    ("remote.origin.mirror", "true"),
    ("remote.origin.push", "refs/heads/*:refs/heads/theirs/*"),
    ("core.hooksPath", "my-hooks"),
]


@pytest.mark.parametrize(("key", "value"), PUSHING)
def test_a_push_takes_its_own_refs_and_nothing_else(repository: Any, key: str, value: str) -> None:
    (repository.path / "my-hooks").mkdir()
    for name in ("pre-push", "reference-transaction"):
        hook = repository.write(f"my-hooks/{name}", "#!/bin/sh\nexit 1\n", executable=True)
        assert hook.exists()
    repository.git("tag", "-a", "v9", "-m", "not to be published", "HEAD")
    before = set(git(repository.origin, "for-each-ref").splitlines())
    repository.git("config", key, value)
    remote = Remote.of(Git(repository.path))
    commit = remote.git.commit_tree(remote.git.tree_of("HEAD"), [remote.git.require("HEAD")], "x")
    remote.push([Update("refs/expci/x", commit, old="")])
    after = set(git(repository.origin, "for-each-ref").splitlines())
    assert after - before == {f"{commit} commit\trefs/expci/x"}
    assert before <= after


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fetch.prune", "true"),
        ("fetch.pruneTags", "true"),
        ("remote.origin.prune", "true"),
        ("remote.origin.tagOpt", "--tags"),
        ("fetch.recurseSubmodules", "true"),
        ("fetch.fsckObjects", "true"),
        ("fetch.writeCommitGraph", "true"),
        ("fetch.output", "compact"),
    ],
)
def test_a_fetch_brings_its_own_refs_and_nothing_else(
    repository: Any, key: str, value: str
) -> None:
    repository.git("push", "-q", "origin", "HEAD:refs/tags/theirs", "HEAD:refs/expci/x")
    repository.git("tag", "mine")
    before = repository.git("for-each-ref")
    repository.git("config", key, value)
    found = Remote.of(Git(repository.path)).fetch("refs/expci/x")
    assert found == {"refs/expci/x": repository.git("rev-parse", "HEAD")}
    assert repository.git("for-each-ref") == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("core.splitIndex", "true"),
        ("core.untrackedCache", "true"),
        ("index.version", "4"),
        ("core.quotePath", "true"),
        ("color.ui", "always"),
        ("column.ui", "always"),
        ("log.showSignature", "true"),
        ("i18n.commitEncoding", "ISO-8859-1"),
        ("diff.noprefix", "true"),
        ("diff.orderFile", "absent"),
        ("status.showUntrackedFiles", "no"),
        ("merge.verifySignatures", "true"),
        ("core.abbrev", "4"),
    ],
)
def test_what_is_read_and_written_is_the_same(repository: Any, key: str, value: str) -> None:
    door = Git(repository.path)

    def work() -> tuple[object, ...]:
        [oid] = door.write_blobs(["ü\n".encode()])
        tree = door.write_tree(door.tree_of("HEAD"), {"ü": Blob("100644", oid)})
        commit = door.commit_tree(tree, [door.require("HEAD")], "Grüße")
        log = door.text("log", "-n", "1", "--format=%H %s", commit)
        untracked = door.text("status", "--porcelain")
        raw = door.text("diff-tree", "-r", "--raw", "HEAD", commit)
        return tree, commit, log, untracked, raw, door.merge_trees(commit, door.require("HEAD"))

    repository.write("new.txt", "x\n")
    before = work()
    repository.git("config", key, value)
    assert work() == before


@pytest.mark.parametrize(
    "variable",
    [
        "GIT_ICASE_PATHSPECS",
        "GIT_GLOB_PATHSPECS",
        "GIT_NOGLOB_PATHSPECS",
        "GIT_LITERAL_PATHSPECS",
        "GIT_NAMESPACE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_SHALLOW_FILE",
        "GIT_DEFAULT_HASH",
    ],
)
def test_the_environment_is_not_followed(
    repository: Any, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Git(repository.path)
    wanted = (door.read_paths("HEAD", ["work.sh"]), door.read_tree("HEAD"))
    monkeypatch.setenv(variable, "1")
    assert (door.read_paths("HEAD", ["work.sh"]), door.read_tree("HEAD")) == wanted
    assert door.text("status", "--porcelain", "--", ":(literal,top)work.sh") == ""


def test_replaced_objects_are_the_user_s_own_view(repository: Any) -> None:
    head = repository.git("rev-parse", "HEAD")
    repository.write("README.md", "Another project.\n")
    other = repository.commit()
    repository.git("replace", head, other)
    door = Git(repository.path)
    blob = door.read_paths(head, ["README.md"])["README.md"]
    assert blob is not None
    assert door.cat([blob.oid])[blob.oid] == b"A project.\n"


# --- addresses -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fetch", "push", "same"),
    [
        ("https://github.com/o/r.git", "git@github.com:o/r.git", True),
        ("https://github.com/o/r", "ssh://git@github.com:22/o/r.git", True),
        ("https://token@github.com/o/r", "https://github.com/O/R/", True),
        ("https://github.com/o/r", "git@github.com:me/r.git", False),
        ("https://github.com/o/r", "no_push", False),
        ("/srv/r.git", "file:///srv/r", True),
    ],
)
def test_one_repository_is_read_and_written(
    repository: Any, fetch: str, push: str, same: bool
) -> None:
    repository.git("remote", "set-url", "origin", fetch)
    repository.git("remote", "set-url", "--push", "origin", push)
    remote = Remote.of(Git(repository.path))
    if same:
        assert remote._writable() == "origin"
    else:
        with pytest.raises(Refused, match="pushes to another repository"):
            remote.push([Update("refs/expci/x", "1" * 40)])


def test_a_mirror_beside_it_gets_nothing(repository: Any, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "mirror.git")
    for address in (str(tmp_path / "mirror.git"), str(repository.origin)):
        repository.git("remote", "set-url", "--add", "--push", "origin", address)
    remote = Remote.of(Git(repository.path))
    remote.push([Update("refs/expci/x", repository.git("rev-parse", "HEAD"), old="")])
    assert git(repository.origin, "for-each-ref", "refs/expci")
    assert not git(tmp_path / "mirror.git", "for-each-ref")


def test_the_only_remote_serves_whatever_its_name(repository: Any) -> None:
    repository.git("remote", "rename", "origin", "upstream")
    assert Remote.of(Git(repository.path)).name == "upstream"
    repository.git("remote", "add", "fork", "/nowhere")
    with pytest.raises(ExpciError, match=r"fork, upstream .* --remote"):
        Remote.of(Git(repository.path))
    assert Remote.of(Git(repository.path), "fork").name == "fork"


def test_a_password_in_an_address_is_not_printed(repository: Any) -> None:
    repository.git("remote", "set-url", "origin", "https://u:s3cret@example.org/o/r")
    repository.git("remote", "set-url", "--push", "origin", "https://u:s3cret@example.org/me/r")
    with pytest.raises(Refused) as error:
        Remote.of(Git(repository.path)).push([Update("refs/expci/x", "1" * 40)])
    assert "s3cret" not in str(error.value)


# --- odd places ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a\nb", " a ", "ü'\"$(x)", "-rf", "a\nb\n"])
def test_a_repository_in_an_odd_place(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir()
    git(place, "init", "-q")
    (place / "deep").mkdir()
    door = Git.at(place / "deep")
    assert (door.root, door.common_dir) == (place, place / ".git")
    tree = door.write_tree(None, {})
    commit = door.commit_tree(tree, [], "x")
    door.update_refs([f"create refs/heads/x {commit}"])
    git(place, "worktree", "add", "-q", "--detach", str(tmp_path / "linked\nhere"), "x")
    linked = Git.at(tmp_path / "linked\nhere")
    assert (linked.common_dir, linked.private_dir) == (door.common_dir, door.private_dir)
    assert linked.write_tree(None, {}) == tree


def test_a_fetch_of_names_that_are_no_utf8(repository: Any) -> None:
    head = repository.git("rev-parse", "HEAD")
    odd = [b"refs/heads/caf\xe9", b"refs/expci/inbox/e/\xff\xfe", b"refs/tags/\xe9"]
    for name in odd:
        with (repository.origin / "packed-refs").open("ab") as packed:
            packed.write(head.encode() + b" " + name + b"\n")
    remote = Remote.of(Git(repository.path))
    found = remote.fetch(f"{refs.INBOX}/*", "refs/heads/*")
    assert "refs/expci/inbox/e/\udcff\udcfe" in found
    assert remote.default_branch() == "main"
    remote.push([Update(ref, None, oid) for ref, oid in found.items() if "inbox" in ref])
    assert not remote.fetch(f"{refs.INBOX}/*")
    assert not remote.git.refs(refs.FETCHED)
