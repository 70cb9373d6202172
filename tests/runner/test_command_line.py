"""`python3 -m expci.runner`: the three verbs of a job with nothing installed."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module

import click
import pytest

from support.clones import REPOSITORY

ONLY_HERE = {"--root"}  # the command line takes roots from the repository's defaults
ONLY_THERE = {"--forge", "--prove"}  # no forge is asked here, and a job proves nothing


def options_of_the_runner(verb: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _MAIN.format(str(REPOSITORY)), verb, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    usage = done.stdout.split("\n\n", 1)[0]  # argparse names every option there
    return set(re.findall(r"--[a-z-]+", usage)) - {"--help"}


_MAIN = """
import sys; sys.path.insert(0, {!r})
from expci.runner.__main__ import main
try:
    main(sys.argv[1:], {{}})
finally:
    assert not [name for name in sys.modules if name.split(".")[0] in ("click", "numpy", "yaml")]
"""


@pytest.mark.parametrize("verb", ["assign", "trial", "record"])
def test_the_verbs_take_the_options_of_the_command_line(verb: str) -> None:
    command = getattr(import_module("expci.cli.trials"), verb)
    options = (param for param in command.params if isinstance(param, click.Option))
    there = {word for option in options for word in option.opts if word.startswith("--")}
    assert options_of_the_runner(verb) - ONLY_HERE == there - ONLY_THERE - {"--help"}
