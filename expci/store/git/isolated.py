"""A repository of this process alone, for a push that nothing else can turn elsewhere.

What a job's work writes into its checkout's or its user's configuration
(`url.….pushInsteadOf`, `core.sshCommand`, `http.proxy`) is not read: the address is
explicit, and the token goes with it alone. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from expci.store.git import credentials
from expci.store.git.git import Addresses, Git
from expci.store.git.remote import Remote

_NAME = "origin"
_SURROUNDINGS = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "0",
    "GIT_CONFIG_PARAMETERS": "",
}


@contextlib.contextmanager
def isolated_remote(address: str, token: str, server: str, object_format: str) -> Iterator[Remote]:
    """The remote at `address`, reached from an empty repository without any configuration."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="expci-push-") as directory:
        git = Git(Path(directory), _SURROUNDINGS)
        git.run("init", "--quiet", "--bare", f"--object-format={object_format}")
        git.run("remote", "add", _NAME, address)
        own = credentials.header_environment(token, server, outer={}) if token else {}
        yield Remote(git, _NAME, own, addresses=Addresses(address, (address,)))
