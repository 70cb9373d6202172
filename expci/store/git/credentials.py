"""A token for git's own calls to the forge, in their environment and nowhere else.

Not in the configuration, a URL, an argument or a file, so no later step and no measured
command finds it. What the checkout brought itself wins. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from expci.store.git.git import Git


def token_environment(git: Git, remote: str, token: str, server: str) -> dict[str, str]:
    """What git needs to reach `remote` as the bearer of `token`; empty where it has a way.

    Only for remotes on `server` (`https://github.com`): nobody else ever sees the token.
    """
    server = server.rstrip("/")
    if not token or not server.startswith(("https://", "http://")):
        return {}
    url = git.attempt("ls-remote", "--get-url", remote).stdout.decode(errors="replace").strip()
    if not url.startswith(f"{server}/") or _has_own(git, url):
        return {}
    return header_environment(token, server, os.environ)


def header_environment(token: str, server: str, outer: Mapping[str, str]) -> dict[str, str]:
    """The environment that makes git send `token` to `server`, beside `outer`'s settings."""
    return _configuration(f"http.{server.rstrip('/')}/.extraheader", _header(token), outer)


def _has_own(git: Git, url: str) -> bool:
    """Whether the checkout keeps a header of its own, as actions/checkout leaves one there."""
    # A second Authorization header would be refused by GitHub. Ours, which comes after those of
    # the process, is none of the checkout's.
    outer = {"GIT_CONFIG_COUNT": os.environ.get("GIT_CONFIG_COUNT", "0")}
    header = git.attempt("config", "--get-urlmatch", "http.extraheader", url, env=outer)
    return bool(header.stdout.strip())


def _header(token: str) -> str:
    import base64

    pair = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return f"AUTHORIZATION: basic {pair}"


def _configuration(key: str, value: str, outer: Mapping[str, str]) -> dict[str, str]:
    """One more setting beside those that the environment holds already (git-config(1))."""
    count = outer.get("GIT_CONFIG_COUNT", "")
    number = int(count) if count.isdecimal() else 0
    return {
        "GIT_CONFIG_COUNT": str(number + 1),
        f"GIT_CONFIG_KEY_{number}": key,
        f"GIT_CONFIG_VALUE_{number}": value,
    }
