"""Which remote a trial verb works with, without a library for YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci.runner.published_copy import remote_of
from expci.store.git.git import Git
from support.clones import make_clone, run_git


@pytest.mark.parametrize(
    ("named", "stated", "used"),
    [
        (None, None, "origin"),
        (None, "upstream", "upstream"),
        (None, "nowhere", "origin"),  # the defaults of a fork's upstream
        ("origin", "upstream", "origin"),
    ],
)
def test_the_remote_is_that_of_the_option_then_of_the_defaults(
    tmp_path: Path, named: str | None, stated: str | None, used: str
) -> None:
    clone = make_clone(tmp_path)
    run_git(clone.root, "remote", "add", "upstream", str(clone.origin))
    clone.write({"experiments/expci.yml": f"version: 1\nremote: {stated}\n" if stated else ""})
    clone.commit("defaults")
    assert remote_of(Git.at(clone.root), named, "", {}).name == used


def test_defaults_that_cannot_be_read_name_no_remote(tmp_path: Path) -> None:
    clone = make_clone(tmp_path)
    clone.write({"experiments/expci.yml": "remote: &a upstream\n"})
    clone.commit("defaults")
    assert remote_of(Git.at(clone.root), None, "", {}).name == "origin"
