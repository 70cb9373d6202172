"""Which forge a remote's address names, as `gh` tells it, so that a laptop and CI agree."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

LOCAL = "local"
GITHUB = "github"
GITHUB_COM = "https://github.com"
SSH_S = 5.0  # it reads files, and a `Match exec` of the user's
_NOT_BY_SSH = ("http://", "https://", "git://")
_SCP = re.compile(r"(?:[\w.+-]+@)?(?P<host>[\w.-]+):(?!//)(?P<path>.+)")
_PATH = re.compile(r"/*([\w.-]+/[\w.-]+?)(?:\.git)?/*")


@dataclass(frozen=True)
class GitHubAddress:
    """A repository on GitHub or an Enterprise server. `api_url` is derived from `server_url`
    unless it is stated."""

    server_url: str
    repository: str
    stated_api_url: str | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.server_url).netloc.lower()

    @property
    def place(self) -> str:
        """How events name it: github.com/OWNER/NAME."""
        return f"{self.host}/{self.repository}"

    @property
    def web(self) -> str:
        """Its address for a browser."""
        return f"{self.server_url.rstrip('/')}/{self.repository}"

    @property
    def api_url(self) -> str:
        """https://docs.github.com/enterprise-server/rest/enterprise-admin#endpoint-urls"""
        if self.stated_api_url:
            return self.stated_api_url
        if self.host == "github.com" or self.host.endswith(".ghe.com"):
            return f"https://api.{self.host}"
        return f"{self.server_url.rstrip('/')}/api/v3"


def github_address(
    addresses: Iterable[str],
    servers: Collection[str] = (),
    api_url: str | None = None,
    ssh_host: Callable[[str], str] = str,
) -> GitHubAddress | None:
    """The repository that one of a remote's addresses names; `None` where none is GitHub's.

    GitHub are github.com, *.ghe.com, and the `servers` that the environment names: a token
    is sent nowhere else. `ssh_host` says which host ssh means by a name.
    """
    urls = {urlsplit(url).netloc.lower(): url.rstrip("/") for url in (GITHUB_COM, *servers)}

    def server_of(host: str) -> str | None:
        return urls.get(host) or (f"https://{host}" if host.endswith(".ghe.com") else None)

    for address in addresses:
        host, path = _host_and_path(address)
        match = _PATH.fullmatch(path)
        server = server_of(host)
        if match and not server and host and not address.startswith(_NOT_BY_SSH):
            server = server_of(_by_name(ssh_host(host).lower()))
        if match and server:
            stated = api_url if server != GITHUB_COM or len(urls) == 1 else None
            return GitHubAddress(server, match[1], stated)
    return None


def _host_and_path(address: str) -> tuple[str, str]:
    """Lower-case host (with its port over HTTP) and path; ("", "") for a path on this machine."""
    if "://" in address:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https"):
            usual = {"http": ":80", "https": ":443"}[parts.scheme]
            host = parts.netloc.rpartition("@")[2].lower().removesuffix(usual)
            return host.removeprefix("www."), parts.path
        if parts.scheme in ("ssh", "git", "git+ssh"):
            return _by_name((parts.hostname or "").lower()), parts.path
        return "", ""
    match = _SCP.fullmatch(address)
    return (match["host"].lower(), match["path"]) if match else ("", "")


def _by_name(host: str) -> str:
    # https://docs.github.com/authentication/troubleshooting-ssh/using-ssh-over-the-https-port
    return "github.com" if host == "ssh.github.com" else host


def ssh_host(name: str) -> str:
    """The host that ssh's configuration means by a name (`Host` and `HostName`), as `gh` asks it;
    the name itself where there is no ssh."""
    command = ["ssh", "-G", "--", name]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SSH_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return name
    rows = (line.split(" ", 1) for line in done.stdout.splitlines())
    return next((row[1] for row in rows if row[0] == "hostname" and row[1:]), name)
