"""A direction in another tool's word is answered with ours, never with its opposite."""

from __future__ import annotations

import pytest

from expci.core.spec.experiment_file import read_form
from expci.core.spec.schema import ExperimentFile

FILE = """
version: 1
metrics:
  - {name: size_kb, role: primary, direction: @}
"""


@pytest.mark.parametrize(
    ("word", "meant"),
    [("lower", "decrease"), ("minimize", "decrease"), ("higher", "increase"), ("up", "increase")],
)
def test_the_word_that_was_meant_is_offered(word: str, meant: str) -> None:
    form = read_form(FILE.replace("@", word), "experiment.yml", ExperimentFile)
    [problem] = [item for item in form.problems if "direction" in str(item)]
    assert f"did you mean `direction: {meant}`?" in str(problem)
