"""The contract, on GitHub."""

from __future__ import annotations

from forge.contract import ForgeContract
from forge.hub_bench import bench, template

__all__ = ["bench", "template"]


class TestGitHubForge(ForgeContract):
    pass
