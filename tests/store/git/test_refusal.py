"""What servers say when they refuse a push, as they say it: documentation and public reports."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from expci.errors import LostRace, Refused, Unreachable
from expci.store.git.git import Git
from expci.store.git.refusal import (
    Refusal,
    after_races,
    classify,
    of_push,
    visible_text,
    write_failure,
)
from expci.store.git.remote import Remote, Update
from support.repositories import git

# docs.github.com (GH001, GH006, GH013), docs.gitlab.com (push rules), git's own sources.
WORDS = [
    ("error: GH001: Large files detected. You may want to try Git LFS", "size"),
    ("File big.bin is 123.00 MB; this exceeds GitHub's file size limit of 100.00 MB", "size"),
    ("fatal: pack exceeds maximum allowed size", "size"),
    ("error: GH006: Protected branch update failed for refs/heads/main.", "protection"),
    ("error: GH013: Repository rule violations found for refs/heads/main.", "protection"),
    ("GitLab: You are not allowed to push code to protected branches", "protection"),
    ("error: cannot lock ref 'refs/heads/a/b': 'refs/heads/a' exists; cannot create", "name"),
    ("remote: Permission to o/r.git denied to github-actions[bot].", "permission"),
    ("The requested URL returned error: 403", "permission"),
    ("git@github.com: Permission denied (publickey).", "permission"),
    ("fatal: Authentication failed for 'https://example.org/'", "permission"),
    ("remote rejected (deletion prohibited)", "deletion"),
    ("error: unable to write file: No space left on device", "disk"),
    ("remote rejected (shallow update not allowed)", "shallow"),
    ("remote rejected (pre-receive hook declined)", "hook"),
    ("fatal: unable to access 'https://x/': Could not resolve host: x", "network"),
    ("something that nobody has said before", "other"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code"), WORDS)
def test_each_refusal_has_its_code(words: str, code: str) -> None:
    assert classify(words) == code


def test_progress_is_not_what_was_said() -> None:
    output = (
        b"Enumerating objects: 5, done.\nCounting objects:  20% (1/5)\rCounting objects: 100%"
        b" (5/5), done.\nWriting objects: 100% (3/3), 300 bytes | 300.00 KiB/s, done.\n"
        b"Total 3 (delta 0), reused 0 (delta 0), pack-reused 0\n"
        b"remote: Resolving deltas: 100% (1/1), done.        \nremote: No: \xff\n"
    )
    assert visible_text(output) == "remote: No: \\xff"


def hook(repository: Any, name: str, script: str) -> None:
    path = repository.origin / "hooks" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def remote_of(repository: Any) -> tuple[Remote, str]:
    remote = Remote.of(Git(repository.path))
    return remote, remote.git.commit_tree(remote.git.write_tree(None, {}), [], "x")


def test_the_server_s_own_words_reach_the_user(repository: Any) -> None:
    hook(repository, "pre-receive", "echo 'RULE: name a ticket, e.g. JIRA-1'; exit 1")
    remote, commit = remote_of(repository)
    with pytest.raises(Refused, match=r"name a ticket, e\.g\. JIRA-1") as error:
        remote.push([Update("refs/heads/x", commit, old="")])
    assert error.value.code == "hook"


def test_a_hook_that_speaks_of_locks_is_no_other_writer(repository: Any) -> None:
    hook(repository, "update", "echo 'cannot lock ref: ask the owner' >&2; exit 1")
    remote, commit = remote_of(repository)
    with pytest.raises(Refused, match="ask the owner"):
        remote.push([Update("refs/heads/x", commit, old="")])


def test_a_name_below_another_is_named(repository: Any) -> None:
    remote, commit = remote_of(repository)
    git(repository.origin, "update-ref", "refs/heads/expci", "main")
    with pytest.raises(Refused, match="'refs/heads/expci' exists") as error:
        remote.push([Update("refs/heads/expci/promote/x", commit, old="")])
    assert error.value.code == "name"


def test_a_server_that_cannot_write_is_no_other_writer(repository: Any) -> None:
    """The update hook stands for a disk that filled up while the ref was written."""
    remote, commit = remote_of(repository)
    hook(repository, "update", "echo 'error: unable to write: No space left on device' >&2; exit 1")
    with pytest.raises(Refused) as error:
        remote.push([Update("refs/expci/x", commit, old="")])
    assert error.value.code == "disk"


def test_a_lease_that_does_not_hold_is_a_lost_race(repository: Any) -> None:
    remote, commit = remote_of(repository)
    with pytest.raises(LostRace, match="stale info"):
        remote.push([Update("refs/expci/x", commit, old=commit)])


def test_an_address_that_is_not_there(repository: Any, tmp_path: Path) -> None:
    repository.git("remote", "set-url", "origin", str(tmp_path / "away.git"))
    remote, commit = remote_of(repository)
    with pytest.raises(Unreachable, match=r"away\.git") as error:
        remote.push([Update("refs/expci/x", commit, old="")])
    assert not isinstance(error.value, Refused)


def test_a_byte_that_is_no_text_is_shown_all_the_same(repository: Any) -> None:
    hook(repository, "pre-receive", "printf 'No \\351\\n'; exit 1")
    remote, commit = remote_of(repository)
    with pytest.raises(Refused) as error:
        remote.push([Update("refs/expci/x", commit, old="")])
    assert "No \\xe9" in str(error.value)
    subprocess.run(["true"], input=str(error.value).encode(), check=True)  # it can be encoded


def test_a_lock_that_a_dead_process_left_on_the_server_is_named(repository: Any) -> None:
    lock = repository.origin / "refs/expci/x.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    remote, commit = remote_of(repository)
    with pytest.raises(LostRace) as error:  # a living process may hold it: worth another try
        remote.push([Update("refs/expci/x", commit, old="")])
    words = after_races(str(error.value))
    assert "left the lock" in words
    assert str(lock.name) in words
    assert "other writers were first" in after_races("refs/expci/x [rejected] (stale info)")


def test_advice_keeps_its_names() -> None:
    text = str(Refusal("permission", "You may not push."))
    assert text.startswith("You may not push. Give the token")
    assert "GitHub Actions" in text


def test_a_server_that_says_much_is_quoted_at_both_ends() -> None:
    lines = [f"remote: line {n} of a hook" for n in range(5000)]
    refused = of_push("\n".join(lines).encode(), {"refs/x": "[rejected] (hook declined)"})
    assert len(str(refused)) < 3000
    assert refused.words.startswith("refs/x [rejected] (hook declined); line 0 of")
    assert refused.words.endswith("line 4999 of a hook")
    assert refused.code == "hook"


@pytest.mark.parametrize(
    "line",
    [  # git 2.39 on a full and on a read-only file system
        "error: unable to create temporary file: Read-only file system",
        "fatal: write error: could not write: No space left on device",
        "error: cannot update ref 'refs/x': couldn't write '.git/refs/x.lock'",
        "error: cannot create tempfile '.git/packed-refs.new': No space left on device",
    ],
)
def test_a_clone_that_cannot_be_written_is_no_server(line: str) -> None:
    told = write_failure(f"From /srv/x\n{line}\nfatal: failed to write object")
    assert told is not None
    assert line in told
    assert "\n" not in told
    assert write_failure(f"remote: {line}") is None
    assert write_failure("fatal: Unable to create '/x/packed-refs.lock': File exists.") is None
