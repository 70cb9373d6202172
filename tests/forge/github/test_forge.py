"""The contract, on GitHub."""

from __future__ import annotations

from support.forge_contract import ForgeContract
from support.hub_bench import bench, template

__all__ = ["bench", "template"]


class TestGitHubForge(ForgeContract):
    pass
