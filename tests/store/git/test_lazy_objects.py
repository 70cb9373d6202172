"""What a partial clone lacks is not waited for without end: real clones, an ssh that hangs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from expci.errors import Unreachable
from expci.runner.live.assign import AssignOptions, assign_job
from expci.store.git import remote as remote_module
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from support.processes import is_alive, wait_for
from support.repositories import Repository, git


@pytest.fixture
def partial(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A clone without files; its server was there, and is behind an ssh that hangs now.

    `starts` has the process id of every ssh that was started.
    """
    repository.write("part.txt", "1\n")
    repository.write("experiments/expci.yml", "version: 1\n")
    repository.commit("Part")
    repository.push("HEAD:main")
    git(repository.origin, "config", "uploadpack.allowFilter", "true")
    address = repository.origin.as_uri()
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", address, "partial")
    clone = tmp_path / "partial"
    git(clone, "remote", "set-url", "origin", "git@example.org:o/r.git")
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/starts\nexec sleep 3000\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    for limit in ("CONNECT", "SILENCE", "REMOTE"):
        monkeypatch.setenv(f"EXPCI_{limit}_SECONDS", "3")
    yield clone
    remote_module._silent.clear()


def starts(clone: Path) -> list[int]:
    file = clone.parent / "starts"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def blob(clone: Path, path: str) -> str:
    return git(clone, "rev-parse", f"HEAD:{path}")


def test_a_read_ends_with_all_that_it_started_and_the_server_is_asked_once(partial: Path) -> None:
    own = Git.at(partial)
    for path in ("part.txt", "experiments/expci.yml"):
        with pytest.raises(Unreachable, match=r"this partial clone lacks .* was silent for 3 sec"):
            own.cat([blob(partial, path)])
    [pid] = starts(partial)
    wait_for(lambda: not is_alive(pid))
    assert own.resolve("HEAD") == git(partial, "rev-parse", "HEAD")  # what is here is read


def test_any_other_call_of_git_ends_too(partial: Path) -> None:
    own = Git.at(partial)
    with pytest.raises(Unreachable, match=r"was not done after 3 seconds|did not answer within 3"):
        own.run("cat-file", "--filters", "HEAD:part.txt")
    [pid] = starts(partial)
    wait_for(lambda: not is_alive(pid))


def test_a_remote_that_is_silent_is_not_waited_for_again(partial: Path) -> None:
    own = Git.at(partial)
    with pytest.raises(Unreachable, match="did not answer"):
        Remote.of(own).default_branch()
    with pytest.raises(Unreachable, match="the remote 'origin' did not answer"):
        own.cat([blob(partial, "part.txt")])
    assert len(starts(partial)) == 1


def test_a_job_goes_on_without_its_server(partial: Path) -> None:
    """Even the repository's defaults are not here."""
    result = assign_job(AssignOptions(partial, dict(os.environ), experiment="speed", unit="u-1"))
    [outcome] = result.outcomes
    assert (outcome.arm, outcome.reason_code) == (None, "objects_missing")
    assert result.exit_code == 0


def test_a_server_that_refuses_is_quoted(partial: Path) -> None:
    git(partial, "remote", "set-url", "origin", f"file://{partial}/nowhere")
    with pytest.raises(Unreachable, match=r"could not be loaded: .*nowhere.* Check the network"):
        Git.at(partial).cat([blob(partial, "part.txt")])
