"""What a kind of metric is stands in its module and its traits, and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from expci.core.kinds import METHODS
from expci.core.model.metric_kinds import KINDS, Kind

PACKAGE = Path(__file__).parents[3] / "expci"
HOME = {PACKAGE / "core/model/metric_kinds.py", *(PACKAGE / "core/kinds").glob("*.py")}


def branches(source: str) -> Iterator[str]:
    """Comparisons of something called a kind with the name of a kind of metric."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
            names = {n.value for p in parts for n in ast.walk(p) if isinstance(n, ast.Constant)}
            about = any(ast.unparse(part).endswith("kind") for part in parts)
            if about and names.intersection(KINDS):
                yield ast.unparse(node)


def test_every_kind_has_its_traits_and_its_module() -> None:
    assert set(KINDS) == set(METHODS) == set(get_args(Kind))
    modules = {Path(str(module.__file__)).stem for module in METHODS.values()}  # type: ignore[attr-defined]
    assert modules == set(KINDS)


def test_a_branch_on_a_kind_is_recognised() -> None:
    assert list(branches('x = metric.kind in ("mean", "rank")')) != []
    assert list(branches('if kind == "duration": pass')) != []
    assert list(branches('if kind == "str": pass')) == []


@pytest.mark.slow
def test_nothing_else_branches_on_the_name_of_a_kind() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if path not in HOME]
    assert {str(p): b for p in modules if (b := list(branches(p.read_text())))} == {}
