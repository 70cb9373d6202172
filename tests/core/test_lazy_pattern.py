"""A pattern is compiled when it is first used, and then it is what `re` makes."""

from __future__ import annotations

import re

import pytest

from expci.core.lazy_pattern import lazy_pattern


def test_it_answers_as_a_compiled_pattern_does() -> None:
    ours, theirs = lazy_pattern(r"([a-z]+)-(\d+)", re.IGNORECASE), re.compile(r"([a-z]+)-(\d+)", 2)
    for text in ("Ab-12", "ab-", "x Ab-12 y", ""):
        for verb in ("fullmatch", "match", "search"):
            found, expected = getattr(ours, verb)(text), getattr(theirs, verb)(text)
            assert (found and found.groups()) == (expected and expected.groups())
    assert ours.sub("_", "a-1 b-2") == "_ _"
    assert (ours.pattern, ours.flags) == (theirs.pattern, theirs.flags)


def test_a_wrong_one_fails_at_its_first_use() -> None:
    wrong = lazy_pattern("(")
    with pytest.raises(re.error):
        wrong.match("")
