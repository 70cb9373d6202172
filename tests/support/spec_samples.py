"""A small experiment.yml, as it is read and as its problems."""

from __future__ import annotations

from collections.abc import Mapping

from expci.core.model.content import SPEC_NAME, File
from expci.core.model.experiment import Experiment
from expci.core.spec.parse import Reading, read_experiment
from expci.core.spec.repository_defaults import read_defaults

MINIMAL = """\
version: 1
hypothesis: It gets 15% faster within 14 days.
run: ./build.sh
arms:
  control: {}
  treatment: {files: treatment/}
metrics:
  - {name: duration_s, role: primary, minimum_effect: 15%}
"""
REPLACED = b"echo faster\n"


def file(data: bytes = REPLACED, mode: str = "100644") -> File:
    return File(mode, data)


def read(text: str, defaults: str = "", files: Mapping[str, File] | None = None) -> Reading:
    tree = {"treatment/build.sh": file(), SPEC_NAME: file(text.encode()), **(files or {})}
    return read_experiment("faster", text, tree, read_defaults(defaults))


def experiment(text: str, defaults: str = "") -> Experiment:
    reading = read(text, defaults)
    assert reading.problems == ()
    assert reading.experiment is not None
    return reading.experiment


def problems_of(reading: Reading) -> list[tuple[int | None, str, str]]:
    assert (reading.experiment is None) == bool(reading.problems)
    return [(problem.line, problem.path, problem.message) for problem in reading.problems]


def with_metric(text: str) -> str:
    return MINIMAL + f"  - {{{text}}}\n"
