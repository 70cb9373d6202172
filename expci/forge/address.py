"""Which forge a remote's address names, as `gh` tells it, so that a laptop and CI agree."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

LOCAL = "local"
GITHUB = "github"
GITHUB_COM = "https://github.com"
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
    addresses: Iterable[str], servers: Collection[str] = (), api_url: str | None = None
) -> GitHubAddress | None:
    """The repository that one of a remote's addresses names; `None` where none is GitHub's.

    GitHub are github.com, *.ghe.com, and the `servers` that the environment names: a token
    is sent nowhere else.
    """
    urls = {urlsplit(url).netloc.lower(): url.rstrip("/") for url in (GITHUB_COM, *servers)}
    for address in addresses:
        host, path = _host_and_path(address)
        match = _PATH.fullmatch(path)
        server = urls.get(host) or (f"https://{host}" if host.endswith(".ghe.com") else None)
        if match and server:
            stated = api_url if server != GITHUB_COM or len(urls) == 1 else None
            return GitHubAddress(server, match[1], stated)
    return None


def _host_and_path(address: str) -> tuple[str, str]:
    """Lower-case host (with its port over HTTP) and path; ("", "") for a path on this machine."""
    if "://" in address:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https"):
            return parts.netloc.rpartition("@")[2].lower(), parts.path
        if parts.scheme in ("ssh", "git", "git+ssh"):
            # https://docs.github.com/authentication/troubleshooting-ssh/using-ssh-over-the-https-port
            host = (parts.hostname or "").lower()
            return ("github.com" if host == "ssh.github.com" else host), parts.path
        return "", ""
    match = _SCP.fullmatch(address)
    return (match["host"].lower(), match["path"]) if match else ("", "")
