"""The token goes to the forge's own server, and only where git has no way of its own."""

from __future__ import annotations

import base64

import pytest

from expci.store.git.credentials import token_environment
from expci.store.git.git import Git
from support.repositories import Repository

SERVER = "https://github.example"
HEADER = "AUTHORIZATION: basic " + base64.b64encode(b"x-access-token:secret").decode()


def of(repository: Repository, url: str, token: str = "secret", server: str = SERVER) -> object:
    repository.git("remote", "set-url", "origin", url)
    return token_environment(Git(repository.path), "origin", token, server)


def test_a_remote_on_the_server_gets_the_token_by_the_environment(repository: Repository) -> None:
    expected = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{SERVER}/.extraheader",
        "GIT_CONFIG_VALUE_0": HEADER,
    }
    assert of(repository, f"{SERVER}/o/r.git") == expected
    assert of(repository, f"{SERVER}/o/r.git", server=SERVER + "/") == expected
    assert "secret" not in repository.git("config", "--list")


@pytest.mark.parametrize(
    ("url", "token", "server"),
    [
        ("https://elsewhere.example/o/r.git", "secret", SERVER),
        (f"{SERVER}.evil.example/o/r.git", "secret", SERVER),
        ("git@github.example:o/r.git", "secret", SERVER),
        (f"{SERVER}/o/r.git", "", SERVER),
        (f"{SERVER}/o/r.git", "secret", ""),
        (f"{SERVER}/o/r.git", "secret", "file:///"),
    ],
)
def test_nobody_else_ever_sees_it(
    repository: Repository, url: str, token: str, server: str
) -> None:
    assert of(repository, url, token, server) == {}


def test_what_the_checkout_brought_itself_wins(repository: Repository) -> None:
    repository.git("config", f"http.{SERVER}/.extraheader", "AUTHORIZATION: basic own")
    assert of(repository, f"{SERVER}/o/r.git") == {}


def test_settings_that_the_environment_holds_already_stay(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.quotePath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "false")
    assert of(repository, f"{SERVER}/o/r.git") == {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_1": f"http.{SERVER}/.extraheader",
        "GIT_CONFIG_VALUE_1": HEADER,
    }
