"""docs/troubleshooting.md: every message that it explains is one that the code can print."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from support.shell_pages import DOCS

PACKAGE = DOCS.parent / "expci"
TEXT = (DOCS / "troubleshooting.md").read_text()
MESSAGES = re.findall(r"^### (.*)$", TEXT, re.MULTILINE)


@cache
def literals() -> tuple[str, ...]:
    """Every text in the code on one line, with `…` for what is put in."""
    files = sorted(PACKAGE.rglob("*.py"))
    return tuple(text for file in files for text in texts(ast.parse(file.read_text())))


def texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
            yield " ".join("".join(map(str, parts)).split())
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"\{[a-z_]+(![rs])?\}", "…", " ".join(node.value.split()))


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_that_is_explained_exists(message: str) -> None:
    words = " ".join(message.replace("`", "").split())
    pattern = re.compile(".*".join(map(re.escape, re.split(r" ?… ?", words))))
    assert any(pattern.search(text.replace("`", "")) for text in literals()), message


def test_each_message_has_a_remedy() -> None:
    parts = re.split(r"^### .*$", TEXT, flags=re.MULTILINE)[1:]
    assert len(parts) == len(MESSAGES) > 20
    assert [m for m, part in zip(MESSAGES, parts, strict=True) if "*Do.*" not in part] == []
