"""Which forge an address names. The forms are those that git-clone(1) and GitHub document."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci.forge.address import GitHubAddress, github_address, ssh_host


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/ada/tool",
        "https://github.com/ada/tool.git",
        "https://github.com/ada/tool/",
        "https://ada@github.com/ada/tool.git",
        "https://ada:secret@github.com/ada/tool.git",
        "git@github.com:ada/tool.git",
        "github.com:ada/tool",
        "ssh://git@github.com/ada/tool.git",
        "ssh://git@github.com:22/ada/tool.git",
        "ssh://git@ssh.github.com:443/ada/tool.git",
        "git://github.com/ada/tool.git",
        "https://GitHub.com/ada/tool",
        "https://github.com:443/ada/tool.git",
        "https://www.github.com/ada/tool",
    ],
)
def test_every_form_of_an_address_is_the_same_repository(address: str) -> None:
    github = github_address([address])
    assert github is not None
    assert (github.place, github.api_url) == ("github.com/ada/tool", "https://api.github.com")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/srv/git/work.git",
        "../work.git",
        "file:///srv/github.com/ada/tool.git",
        "https://gitlab.com/ada/tool.git",
        "https://github.com.evil.example/ada/tool",
        "https://evil.example/github.com/ada/tool",
        "https://github.com@evil.example/ada/tool",
        "https://notgithub.com/ada/tool",
        "git@evil.example:github.com/ada/tool.git",
        "https://github.com/ada",
        "https://github.com/ada/tool/tree/main",
    ],
)
def test_what_is_not_github_gets_no_token(address: str) -> None:
    assert github_address([address]) is None


def test_the_address_as_written_or_as_git_uses_it() -> None:
    assert github_address(["gh:ada/tool", "https://github.com/ada/tool"]) == GitHubAddress(
        "https://github.com", "ada/tool"
    )


def test_enterprise_servers_are_those_that_the_environment_names() -> None:
    address = "git@git.example.com:ada/tool.git"
    assert github_address([address]) is None
    named = github_address([address], ["https://git.example.com/"])
    assert named is not None
    assert named.place == "git.example.com/ada/tool"
    # https://docs.github.com/enterprise-server/rest/enterprise-admin#endpoint-urls
    assert named.api_url == "https://git.example.com/api/v3"


def test_data_residency_has_an_api_host_of_its_own() -> None:
    # https://docs.github.com/enterprise-cloud@latest/admin/data-residency
    named = github_address(["https://octo.ghe.com/ada/tool"])
    assert named is not None
    assert (named.server_url, named.api_url) == ("https://octo.ghe.com", "https://api.octo.ghe.com")


def test_a_stated_api_is_not_taken_for_another_server() -> None:
    servers, api = ["https://git.example.com"], "https://git.example.com/api/v3"
    own = github_address(["https://git.example.com/ada/tool"], servers, api)
    other = github_address(["https://github.com/ada/tool"], servers, api)
    assert own is not None
    assert other is not None
    assert (own.api_url, other.api_url) == (api, "https://api.github.com")


@pytest.mark.parametrize("host", ["github.com", "ssh.github.com"])
@pytest.mark.parametrize("address", ["git@second:ada/tool.git", "ssh://second/ada/tool"])
def test_a_name_that_ssh_alone_knows_is_the_host_it_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, address: str
) -> None:
    """`Host second` / `HostName github.com` in ~/.ssh/config, as for a second account."""
    ssh = tmp_path / "ssh"
    asked = '[ "$*" = "-G -- second" ]'  # ssh(1): prints its configuration, and connects to nobody
    ssh.write_text(f"#!/bin/sh\n{asked} && echo user git && echo hostname {host}\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    github = github_address([address], ssh_host=ssh_host)
    assert github is not None
    assert github.place == "github.com/ada/tool"
    assert github_address(["https://second/ada/tool"], ssh_host=ssh_host) is None
    assert github_address(["git@other:ada/tool"], ssh_host=ssh_host) is None
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert ssh_host("work") == "work"
