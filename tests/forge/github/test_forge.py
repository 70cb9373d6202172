"""The contract, on GitHub."""

from __future__ import annotations

from support.forge_contract import (
    AlertsContract,
    ChecksContract,
    CIRecordsContract,
    CommentsContract,
    PullRequestsContract,
)
from support.hub_bench import bench, template

__all__ = ["bench", "template"]


class TestGitHubPullRequests(PullRequestsContract):
    pass


class TestGitHubComments(CommentsContract):
    pass


class TestGitHubChecks(ChecksContract):
    pass


class TestGitHubAlerts(AlertsContract):
    pass


class TestGitHubCIRecords(CIRecordsContract):
    pass
