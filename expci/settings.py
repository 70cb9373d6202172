"""The only reader of the environment.

Which forge, which token, who acts, where CI runs: everything that is not on the command
line or in git is read here once and passed on as values.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from expci.core.writable_text import writable_text
from expci.errors import ExpciError
from expci.store.git.job_token import TOKENS


@dataclass(frozen=True)
class Settings:
    """`environment` is what the trial path may look at to describe where it runs.

    `pause` is the number of seconds between two writes to the forge: GitHub asks for one, a
    server of one's own may take less. `server_url` and `api_url` are GitHub's addresses where the
    environment states them, `gh_host` the Enterprise host that `gh` works with.
    `actor` is who acts as the CI names them; "" elsewhere, where git knows who works here.
    `gitea` is whether this is a step of Gitea's or Forgejo's Actions, which set GitHub's variables.
    `actions` is whether this is a step of GitHub Actions, `step_summary` where its summary goes.
    """

    repository: str | None = None
    token: str | None = field(default=None, repr=False)
    actor: str = ""
    api_url: str | None = None
    server_url: str | None = None
    gh_host: str | None = None
    pause: float = 1.0
    webhook: str | None = field(default=None, repr=False)
    gitea: bool = False
    actions: bool = False
    step_summary: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in an environment, by default this process's."""
    env = dict(os.environ if environment is None else environment)
    return Settings(
        repository=writable_text(env.get("GITHUB_REPOSITORY", "")) or None,
        token=next(filter(None, map(env.get, TOKENS)), None),
        actor=writable_text(env.get("GITHUB_ACTOR", "")),
        api_url=env.get("GITHUB_API_URL") or None,
        server_url=env.get("GITHUB_SERVER_URL") or None,
        gh_host=env.get("GH_HOST") or None,
        pause=_seconds(env.get("EXPCI_PAUSE", "")),
        webhook=env.get("EXPCI_WEBHOOK") or None,
        gitea=_is_gitea(env),
        actions=env.get("GITHUB_ACTIONS") == "true",
        step_summary=Path(summary) if (summary := env.get("GITHUB_STEP_SUMMARY")) else None,
        environment=env,
    )


def _is_gitea(env: Mapping[str, str]) -> bool:
    """By their own variables, else by their API's address.

    https://docs.gitea.com/usage/actions/actions-variables,
    https://forgejo.org/docs/latest/user/actions/reference/
    """
    own = "true" in (env.get("GITEA_ACTIONS"), env.get("FORGEJO_ACTIONS"))
    return own or env.get("GITHUB_API_URL", "").rstrip("/").endswith("/api/v1")


def _seconds(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 60.0) if text else Settings.pause
    except ValueError:
        raise ExpciError(f"EXPCI_PAUSE={text!r}: give a number of seconds, such as 0.5") from None
