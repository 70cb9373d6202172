"""The examples in the core's docstrings say what the functions answer."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import expci.core

MODULES = [module.name for module in pkgutil.walk_packages(expci.core.__path__, "expci.core.")]
EXAMPLES = [
    test
    for name in MODULES
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    if test.examples
]


def test_there_are_examples() -> None:
    assert EXAMPLES


def test_every_public_function_has_an_example() -> None:
    with_example = {example.name for example in EXAMPLES}
    public = {
        f"{name}.{function}"
        for name in MODULES
        for function, value in vars(importlib.import_module(name)).items()
        if not function.startswith("_") and inspect.isfunction(inspect.unwrap(value))
        if value.__module__ == name
    }
    assert len(public) > 300
    assert sorted(public - with_example) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_is_true(example: doctest.DocTest) -> None:
    report: list[str] = []
    # `make mutants` runs the same example again in one process, with the names that it starts from.
    result = doctest.DocTestRunner().run(example, out=report.append, clear_globs=False)
    assert result.failed == 0, "".join(report)
