"""The stage as a fixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.act_stage import ActStage, make_stage, require_act
from support.hub_bench import HubBench, bench, template

__all__ = ["bench", "template"]


@pytest.fixture
def stage(bench: HubBench, tmp_path: Path) -> ActStage:
    require_act()
    return make_stage(bench, tmp_path)
