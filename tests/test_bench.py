"""docs/benchmarks.md is what the bench writes: every row of it, with its targets."""

from __future__ import annotations

from pathlib import Path

from bench.bench import document, number
from bench.costs import cost_of
from bench.rows import ROWS

PAGE = Path(__file__).parents[1] / "docs/benchmarks.md"


def rows(page: str) -> list[tuple[str, str, str]]:
    """Measure, earlier and target of each row of the table."""
    cells = [line.split("|") for line in page.splitlines() if line.startswith("| ")]
    return [(cell[1].strip(), cell[2].strip(), cell[3].strip()) for cell in cells[1:]]


def test_the_page_has_the_bench_s_rows_and_targets() -> None:
    text = PAGE.read_text()
    assert rows(text) == rows(document({}))
    assert len(rows(text)) == len(ROWS)
    assert text.count(" × ") > len(ROWS)


def test_each_row_is_named_once() -> None:
    assert len({row.key for row in ROWS}) == len({row.what for row in ROWS}) == len(ROWS)


def test_a_cost_is_that_of_the_process_alone() -> None:
    """300 MB that this process holds are none of its child's (getrusage(2))."""
    held = bytearray(b"x") * 300_000_000
    cost = cost_of(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
    assert held[-1]
    assert 0 < cost.peak_mb < 100
    assert cost.cpu_s > 0


def test_numbers_have_their_unit() -> None:
    assert number(2.345, "×") == "2.35 ×"
    assert number(1234.5, "MB") == "1,234 MB"
