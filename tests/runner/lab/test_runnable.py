"""Which lab experiments a job runs: those that are published and that the checkout holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from expci.errors import ExpciError
from expci.runner.lab.runnable import runnable
from expci.runner.published_copy import fetch_published
from expci.store.git.remote import Remote
from expci.store.published import Exposure
from support.clones import SPEC, Clone, make_clone, run_git


def runnable_here(clone: Clone, *, only: str = "", proposed_only: bool = False) -> list[str]:
    document = fetch_published(Remote.of(clone.git)).document
    return runnable(clone.git, document, only=only, proposed_only=proposed_only)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return make_clone(tmp_path)


@pytest.fixture
def two(clone: Clone) -> Clone:
    """`faster` and `other`, both running in the lab."""
    clone.write(
        {
            "experiments/other/experiment.yml": SPEC.format(keys="run: ./tool.sh"),
            "experiments/other/treatment/tool.sh": "echo other\n",
        }
    )
    clone.commit("other")
    exposures: dict[str, Exposure] = {"faster": clone.publish()}
    clone.experiment = "other"
    exposures["other"] = clone.publish()
    clone.publish_all(exposures)
    return clone


def test_what_runs_in_the_lab_and_stands_here_is_run(two: Clone) -> None:
    assert runnable_here(two) == ["faster", "other"]
    assert runnable_here(two, only="other") == ["other"]
    assert runnable_here(two, only="unknown") == []


def test_a_pull_request_runs_only_what_it_proposes(two: Clone) -> None:
    run_git(two.root, "switch", "-q", "-c", "base", "HEAD~1")  # before `other`
    run_git(two.root, "merge", "-q", "--no-ff", "-m", "Merge", "main")
    assert runnable_here(two, proposed_only=True) == ["other"]
    assert runnable_here(two, only="faster", proposed_only=True) == []
    # A checkout of the merge commit alone cannot tell; better too much than nothing.
    shallow = two.root.parent / "shallow"
    run_git(two.root, "push", "-q", "--no-verify", "origin", "base")
    run_git(
        two.root.parent,
        *("clone", "-q", "--depth=1", "--branch=base", two.origin.as_uri(), str(shallow)),
    )
    assert runnable_here(Clone(shallow, two.origin), proposed_only=True) == ["faster", "other"]


@pytest.mark.parametrize("change", [{"mode": "live"}, {"state": "paused"}, {"plan": "0" * 64}])
def test_live_paused_and_changed_experiments_are_not(clone: Clone, change: dict[str, str]) -> None:
    clone.publish()
    assert runnable_here(clone) == ["faster"]
    clone.publish(**change)
    assert runnable_here(clone) == []


def test_a_name_from_outside_is_checked_first(clone: Clone) -> None:
    clone.publish()
    for name in ("../faster", "faster\nexperiments=x", "$(id)", "-x"):
        with pytest.raises(ExpciError, match="id"):
            runnable_here(clone, only=name)


def test_the_step_tells_the_matrix_and_imports_nothing_of_the_checkout(clone: Clone) -> None:
    clone.write({"expci/__init__.py": "raise SystemExit('the checkout was imported')\n"})
    clone.commit("a package of the same name")
    clone.publish()
    output = clone.root.parent / "output"
    done = subprocess.run(
        [sys.executable, "-P", "-S", "-m", "expci.runner.lab.runnable"],
        cwd=clone.root,
        env={**clone.environment, "GITHUB_OUTPUT": str(output), "GITHUB_EVENT_NAME": "push"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert output.read_text() == 'experiments=["faster"]\n'
    assert "to run here: faster" in done.stdout


def test_before_the_first_start_there_is_nothing_to_run(clone: Clone) -> None:
    assert runnable_here(clone) == []
