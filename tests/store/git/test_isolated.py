"""A push from a repository of its own: what the clone's configuration says turns it nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from expci.store.git.isolated import isolated_remote
from expci.store.git.remote import Update
from support.repositories import Repository, git, project


@pytest.fixture
def thief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Repository) -> Path:
    """A repository that the user's and the environment's configuration turn every push to."""
    other = tmp_path / "thief.git"
    git(tmp_path, "init", "--quiet", "--bare", str(other))
    config = tmp_path / "gitconfig"
    config.write_text(f'[url "{other}"]\n\tinsteadOf = {repository.origin}\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{other}.pushInsteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(repository.origin))
    return other


def test_a_push_goes_to_the_address_and_nowhere_else(repository: Repository, thief: Path) -> None:
    assert git(repository.path, "ls-remote", str(repository.origin)) == ""  # it is turned away
    with isolated_remote(str(repository.origin), "", "https://github.com", "sha1") as remote:
        [blob] = remote.git.write_blobs([b"hello\n"])
        assert remote.git.resolve("HEAD") is None  # an empty repository
        remote.push([Update("refs/expci/inbox/e/x", blob, "")])
        assert remote.names("refs/expci/*") == {"refs/expci/inbox/e/x": blob}
        place = remote.git.root
    assert git(repository.origin, "cat-file", "-p", "refs/expci/inbox/e/x") == "hello"
    assert git(thief, "for-each-ref") == ""
    assert not place.exists()


def test_a_token_goes_with_the_calls_to_its_server_alone(repository: Repository) -> None:
    address = str(repository.origin)
    with isolated_remote(address, "t0ken", "https://github.com", "sha1") as remote:
        key = git_config(remote.environment, "http.https://github.com/.extraheader")
        assert key.startswith("AUTHORIZATION: basic ")
        assert "t0ken" not in remote.git.run("config", "--list").decode()
    with isolated_remote(address, "", "https://github.com", "sha1") as remote:
        assert not dict(remote.environment)


def git_config(environment: Mapping[str, str], key: str) -> str:
    """What a call of git with this environment reads of `key`."""
    pairs = {
        environment[f"GIT_CONFIG_KEY_{i}"]: environment[f"GIT_CONFIG_VALUE_{i}"]
        for i in range(int(environment["GIT_CONFIG_COUNT"]))
    }
    return pairs[key]


def test_the_objects_are_of_the_other_sides_format(tmp_path: Path) -> None:
    origin = project(tmp_path).origin
    with isolated_remote(str(origin), "", "", "sha256") as remote:
        [blob] = remote.git.write_blobs([b"hello\n"])
        assert len(blob) == 64
