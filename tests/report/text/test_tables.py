"""Tables on a narrow terminal: what goes first, and what stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expci.report.text.tables import Bar, Table, text_table

TABLE = Table(
    "lrlr",
    ("if the truth is", "promotes", "", "rolls back"),
    (
        ("no effect at all", "1%", Bar("░" * 10), "3%"),
        ("the hoped-for effect, but success falls", "12%", Bar("▓" * 10), "40%"),
    ),
)


def test_a_wide_table_is_whole() -> None:
    assert text_table(TABLE, most=80) == text_table(TABLE)
    assert "░" * 10 in text_table(TABLE)


@pytest.mark.parametrize("most", [70, 60, 50, 46])
def test_a_narrow_one_keeps_every_number(most: int) -> None:
    lines = text_table(TABLE, most=most).splitlines()
    assert max(map(len, lines)) <= most
    text = " ".join("\n".join(lines).split())
    for number in ("1%", "3%", "12%", "40%", "rolls back"):
        assert number in text
    words = " ".join(line[:24].strip() for line in lines) if most == 46 else text
    for word in ("hoped-for", "success", "falls"):
        assert word in words


def test_a_name_is_not_broken() -> None:
    name = "a_metric_whose_name_is_long"
    table = Table("lr", ("metric", "value"), ((name, "12.3 s"),))
    assert name in text_table(table, most=30)


def test_both_arms_go_where_one_does_not_fit() -> None:
    header = ("metric", "improvement", "control", "treatment")
    table = Table("lrrr", header, (("cost_usd", "+21.8%", "0.1234 USD", "0.0965 USD"),))
    assert "treatment" in text_table(table, most=50)
    for together, kept in ((1, "control"), (2, "improvement")):
        narrow = text_table(replace(table, together=together), most=44)
        assert narrow.splitlines()[0].endswith(kept)
        assert "treatment" not in narrow
