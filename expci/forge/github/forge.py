"""GitHub, and Enterprise servers with the same API, as a `Forge`.

The files of this package are the only ones that import PyGithub: importing it takes a fifth
of a second, so `expci/app.py` does so where a forge is needed.
"""

from __future__ import annotations

from expci.forge.github.alerts import GitHubAlerts
from expci.forge.github.checks import GitHubChecks
from expci.forge.github.ci_records import GitHubCIRecords
from expci.forge.github.comments import GitHubComments
from expci.forge.github.commits import GitHubCommits
from expci.forge.github.pull_requests import GitHubPullRequests
from expci.forge.github.retries import Limits
from expci.forge.github.session import Access, GitHubSession
from expci.forge.ports import Forge


def github_forge(access: Access, limits: Limits | None = None) -> Forge:
    """One repository on GitHub, for the time of one command or pass.

    Listings are read once and kept: what changes meanwhile, the next pass sees.
    """
    session = GitHubSession(access, limits)
    comments = GitHubComments(session)
    return Forge(
        name=session.place,
        pull_requests=GitHubPullRequests(session, comments, access.pause),
        comments=comments,
        checks=GitHubChecks(session),
        alerts=GitHubAlerts(session, comments),
        ci=GitHubCIRecords(session),
        commits=GitHubCommits(session),
        social=True,
    )
