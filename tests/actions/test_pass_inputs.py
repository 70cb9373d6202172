"""What a workflow gives the pass action for databases reaches the verb alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci.errors import UsageError
from expci.runner.actions import installation
from expci.runner.actions.inputs import Inputs
from support.repositories import Repository


def test_the_verb_sees_the_variables_that_sources_name(
    repository: Repository, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"  # stands for one that has expci installed
    python.write_text('#!/bin/sh\necho "$SHOP_URL|$PW|$*"\n')
    python.chmod(0o755)
    lines = "SHOP_URL=duckdb://x?a=b\n\nPW=a=b c\n"
    inputs = Inputs.of({"INPUT_PYTHON": str(python), "INPUT_SOURCES": lines})
    assert installation.run(("auto",), repository.path, inputs, {}, {}) == 0
    assert capfd.readouterr().out == "duckdb://x?a=b|a=b c|-P -m expci auto\n"


@pytest.mark.parametrize("lines", ["hunter2", "A=1\nshop_url=hunter2", "=hunter2", "A B=hunter2"])
def test_another_line_is_refused_without_its_words(lines: str) -> None:
    with pytest.raises(UsageError) as refused:
        Inputs(sources=lines).source_variables()
    assert "is not NAME=VALUE" in str(refused.value)
    assert "hunter2" not in str(refused.value) + repr(Inputs(sources=lines))
