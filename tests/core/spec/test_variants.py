"""Arms that a CI would not apply: in a slot they are refused, or the comparison is A/A."""

from __future__ import annotations

import pytest

from expci.core.model.content import File
from expci.core.spec.parse import read_experiment
from expci.core.spec.repository_defaults import Defaults

SPEC = """\
version: 1
hypothesis: It gets 15% faster within 14 days.
{where}
arms:
  control: {{}}
  treatment: {{files: treatment/, env: {{{name}: "1"}}}}
metrics:
  - {{name: duration_s, role: primary, minimum_effect: 15%}}
"""
TREE = {"treatment/build.sh": File("100755", b"echo faster\n")}


def problems(where: str, name: str) -> list[str]:
    text = SPEC.format(where=where, name=name)
    reading = read_experiment("speed", text, TREE, Defaults(), "experiments/speed/experiment.yml")
    return [str(problem) for problem in reading.problems]


# The runner refuses NODE_OPTIONS in $GITHUB_ENV and lets nobody overwrite RUNNER_* and GITHUB_*:
# actions/runner, src/Runner.Worker/FileCommandManager.cs.
@pytest.mark.parametrize("name", ["NODE_OPTIONS", "RUNNER_TEMP", "CI", "PATH", "ACTIONS_CACHE_URL"])
def test_what_the_runner_drops_is_refused_in_a_slot(name: str) -> None:
    [problem] = problems("slot: build", name)
    assert f"arms.treatment.env.{name}" in problem
    assert "is not what the job would see" in problem
    assert problems("run: ./build.sh", name) == [], "the lab sets it by itself"


# What the loader, the shell, Python or git of each later step of the job goes by.
TAKING = (
    *("LD_AUDIT", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "GIT_CONFIG_COUNT"),
    *("GIT_SSH_COMMAND", "BASH_FUNC_sh", "SHELLOPTS", "PYTHONHOME", "HOME", "IFS"),
)


@pytest.mark.parametrize("name", TAKING)
def test_what_changes_the_programs_of_later_steps_is_refused_in_a_slot(name: str) -> None:
    [problem] = problems("slot: build", name)
    assert f"arms.treatment.env.{name}" in problem
    assert "every later step of the job" in problem
    assert problems("run: ./build.sh", name) == []
    assert problems("slot: build", "GIT_LFS_SKIP_SMUDGE") == []


def test_what_takes_the_job_over_is_refused_everywhere() -> None:
    assert "sets itself" in problems("slot: build", "GITHUB_WORKSPACE")[0]
    assert problems("slot: build", "REVIEW_MODE") == []
