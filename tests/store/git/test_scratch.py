"""What killed processes leave behind goes with the next verb; what living ones use stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.git.scratch import Scratch, living

KILLED = """
import os, signal, sys
from pathlib import Path
from expci.store.git.git import Git
git = Git(Path(sys.argv[1]))
with git.scratch_index("HEAD") as env:
    print(Path(env["GIT_INDEX_FILE"]).parent, flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def owner(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_living_process_keeps_its_index_and_a_dead_one_s_is_cleared(repository: Any) -> None:
    private = Git.at(repository.path).private_dir
    process = owner(repository.path)
    assert process.stdout is not None
    index = Path(process.stdout.readline().strip())
    assert index.parent.name in living(private)
    assert index.is_dir()
    process.communicate("\n")
    assert process.returncode == -signal.SIGKILL
    assert index.is_dir()
    assert index.parent.name not in living(private)
    assert not index.parent.exists()


def test_a_directory_that_gets_its_name_while_one_looks_hides_no_living_process(
    repository: Any,
) -> None:
    private = Git.at(repository.path).private_dir
    processes = [owner(repository.path) for _ in range(3)]
    tokens = set()
    for process in processes:
        assert process.stdout is not None
        tokens.add(Path(process.stdout.readline().strip()).parent.name)
    for number in range(20):  # listed, and gone when its age is asked
        (private / "scratch" / f".{number}").symlink_to("renamed-meanwhile")
    assert tokens <= living(private)
    for process in processes:
        process.communicate("\n")


def test_refs_of_a_killed_fetch_go_with_the_next(repository: Any) -> None:
    head = repository.git("rev-parse", "HEAD")
    git = Git.at(repository.path)
    mine = Scratch.of(git.private_dir).token
    for space in ("0123456789abcdef", "feedfacefeedface-1234", f"{mine}-99999999"):
        repository.git("update-ref", f"{refs.FETCHED}/now-{space}/expci/ledger", head)
    repository.git("update-ref", f"{refs.FETCHED}/expci/ledger", head)
    Remote.of(git).fetch("refs/expci/x")
    assert set(git.refs(refs.FETCHED)) == {
        f"{refs.FETCHED}/now-{mine}-99999999/expci/ledger",
        f"{refs.FETCHED}/expci/ledger",
    }


def test_a_lock_that_a_dead_git_left_stops_no_fetch(repository: Any) -> None:
    """The lock of `packed-refs`, without which no ref can be deleted."""
    git, head = Git.at(repository.path), repository.git("rev-parse", "HEAD")
    lock = git.git_dir / "packed-refs.lock"
    lock.touch()
    remote = Remote.of(git)
    assert remote.fetch("refs/heads/main") == {"refs/heads/main": head}
    assert len(git.refs(refs.FETCHED)) == 1
    lock.unlink()
    Remote.of(git).fetch("refs/heads/main")
    mine = f"{refs.FETCHED}/now-{Scratch.of(git.private_dir).token}"
    assert all(ref.startswith(mine) for ref in git.refs(refs.FETCHED))


def test_a_forked_child_has_its_own(repository: Any) -> None:
    private = Git.at(repository.path).private_dir
    mine = Scratch.of(private)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, Scratch.of(private).token.encode())
        os._exit(0)
    os.waitpid(child, 0)
    token = os.read(read, 100).decode()
    assert token != mine.token
    assert mine.directory.is_dir()
    assert token not in living(private)


def test_a_clone_that_cannot_be_written_reads_all_the_same(repository: Any) -> None:
    git = Git.at(repository.path)
    (git.private_dir).mkdir()
    (git.private_dir / "scratch").write_text("in the way")
    with git.scratch_index("HEAD") as env:
        assert Path(env["GIT_INDEX_FILE"]).exists()
