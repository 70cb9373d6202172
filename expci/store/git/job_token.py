"""The token that a job's environment states. Standard library only, and little of that."""

from __future__ import annotations

from collections.abc import Mapping

TOKENS = ("EXPCI_TOKEN", "GH_TOKEN", "GITHUB_TOKEN")  # the first that is set counts


def stated_token(environment: Mapping[str, str]) -> str:
    """The token that a job states beside the server it is for; "" elsewhere.

    On other machines git's own credentials serve: a token of `gh` is none for git.
    """
    if not environment.get("GITHUB_SERVER_URL"):
        return ""
    return next(filter(None, map(environment.get, TOKENS)), "")
