"""One process answers all questions, and its end is no answer."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from expci.errors import GitError
from expci.store.git import git as git_module
from expci.store.git import invocation
from expci.store.git.git import Git


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the processes that were started to read."""
    ids: list[int] = []
    start = invocation.start_reader

    def noted(*arguments: Any) -> Any:
        process = start(*arguments)
        ids.append(process.pid)
        return process

    monkeypatch.setattr(git_module, "start_reader", noted)
    return ids


def test_one_process_reads_everything(repository: Any, starts: list[int]) -> None:
    git = Git(repository.path)
    # More than a pipe holds (64 KiB, pipe(7)), in questions and in answers.
    contents = [b"%d\n" % number * 50 for number in range(3000)]
    oids = git.write_blobs(contents)
    assert git.resolve("HEAD") == repository.git("rev-parse", "HEAD")
    assert list(git.cat(oids).values()) == contents
    assert git.sizes([*oids, "1" * 40])[oids[7]] == ("blob", 100)
    assert set(git.read_tree("HEAD")) == {"README.md", "work.sh"}
    assert git.resolve("no\nname") is None
    assert git.resolve("HEAD") == repository.git("rev-parse", "HEAD")
    assert len(starts) == 1


def test_it_sees_what_comes_after_it(repository: Any, starts: list[int]) -> None:
    git = Git(repository.path)
    before = git.require("HEAD")
    after = repository.commit() if repository.write("new.txt", "new\n") else ""
    repository.git("repack", "-q", "-a", "-d")
    assert [git.require("HEAD"), git.require("HEAD~1")] == [after, before]
    assert "new.txt" in git.read_tree("HEAD")
    assert len(starts) == 1


def test_killed_meanwhile_it_is_started_again(repository: Any, starts: list[int]) -> None:
    git = Git(repository.path)
    head = git.require("HEAD")
    os.kill(starts[0], signal.SIGTERM)
    os.waitid(os.P_PID, starts[0], os.WEXITED | os.WNOWAIT)
    assert git.require("HEAD") == head
    assert len(starts) == 2


def test_one_that_never_answers_is_an_error_in_git_s_words(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="not a git repository"):
        Git(tmp_path).require("HEAD")


@pytest.mark.parametrize("after", [0.002, 0.005, 0.01, 0.02])
def test_after_an_interrupted_answer_the_next_is_its_own(
    repository: Any, starts: list[int], after: float
) -> None:
    git = Git(repository.path)
    [large] = git.write_blobs([bytes(5_000_000)])

    def interrupt(*_: object) -> None:  # once: a second one would hit the test itself
        raise KeyboardInterrupt

    def read_on() -> None:
        signal.setitimer(signal.ITIMER_REAL, after)
        for _ in itertools.repeat(None):
            git.cat([large])

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            read_on()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert git.resolve("HEAD") == repository.git("rev-parse", "HEAD")


def test_a_forked_child_has_its_own(repository: Any, starts: list[int]) -> None:
    git = Git(repository.path)
    head = git.require("HEAD")
    child = os.fork()
    if child == 0:
        own = git.resolve("HEAD") == head and len(starts) == 2
        git._reader.close()
        os._exit(0 if own else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert git.resolve("HEAD") == head
    assert len(starts) == 1


def test_it_ends_with_its_owner(repository: Any, starts: list[int]) -> None:
    git = Git(repository.path)
    git.require("HEAD")
    del git
    with pytest.raises(ProcessLookupError):
        os.kill(starts[0], 0)


def test_a_path_that_git_s_index_would_not_take_is_in_no_tree(repository: Any) -> None:
    git = Git(repository.path)
    blob = git.read_tree("HEAD")["README.md"]
    for path in ("a//b", "../a", ".git/config", "a/.git/b", "/a"):
        with pytest.raises(GitError, match="no path"):
            git.write_tree("HEAD", {path: blob})
    assert git.write_tree("HEAD", {}) == git.tree_of("HEAD")
