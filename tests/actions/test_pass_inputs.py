"""What a workflow gives the pass action for databases reaches the verb alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci.errors import UsageError
from expci.runner.actions import installation
from expci.runner.actions.inputs import Inputs
from expci.runner.actions.installed import run_pass
from expci.runner.actions.step import Step
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


def test_a_part_of_the_pass(
    repository: Repository, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$*"\n')
    python.chmod(0o755)
    given = {"INPUT_PYTHON": str(python), "INPUT_PATH": str(repository.path), "INPUT_PART": "2/4"}
    assert run_pass(Step.of(given)) == 0
    assert capfd.readouterr().out == "-P -m expci auto --part 2/4\n"


@pytest.mark.parametrize("lines", ["hunter2", "A=1\nshop_url=hunter2", "=hunter2", "A B=hunter2"])
def test_another_line_is_refused_without_its_words(lines: str) -> None:
    with pytest.raises(UsageError) as refused:
        Inputs(sources=lines).source_variables()
    assert "is not NAME=VALUE" in str(refused.value)
    assert "hunter2" not in str(refused.value) + repr(Inputs(sources=lines))
