"""One number has one form in one report: over all golden files and over real analyses."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from expci.core.lifecycle.transitions import Life
from expci.core.model.experiment import Experiment, Limit, Metric
from expci.core.model.results import Analysis
from expci.report.documents import render
from support import report_samples
from support.analysis_samples import alternating, look_at, make_experiment

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*"))
DECIMAL = re.compile(r"(?<![\w.:-])([−+]?\d[\d,]*\.\d+)( (?:s|MB|h|points|days)\b|%)")
FORBIDDEN = {
    "a nought with decimals": r"(?<![\d.,])0\.0+(?: (?:s|points|h|days)\b|%)",
    "a signed nought": r"[−+-]0(?:\.0+)?(?![\d.,])",
    "one of several": r"(?<![\d.,-])1 (?:pairs|trials|runs|days|hours|units|problems|looks)\b",
    "a hyphen for a minus": r"(?<=[ (|])-\d",
    "a number that is none": r"\b(?:nan|inf|None)\b",
    "a space before the per cent sign": r"\d %",
}


def roundings(text: str) -> list[tuple[str, str]]:
    """Pairs of numbers with one unit of which one is the other with fewer decimals."""
    shown = {(match[1].lstrip("+"), match[2]) for match in DECIMAL.finditer(text)}
    pairs = []
    for (one, unit), (other, same) in combinations(sorted(shown), 2):
        short, long = sorted((one, other), key=len)
        decimals = len(short.partition(".")[2])
        if unit == same and one != other and len(long.partition(".")[2]) > decimals:
            value = float(long.replace("−", "-").replace(",", ""))
            if f"{value:,.{decimals}f}".replace("-", "−") == short:
                pairs.append((short + unit, long + unit))
    return pairs


def check(text: str) -> None:
    text = re.sub(r"^```diff$.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for what, pattern in FORBIDDEN.items():
        assert not (match := re.search(pattern, text)), (what, text[match.start() - 60 :][:120])
    assert roundings(text) == []


def test_the_search_sees_what_it_is_for() -> None:
    assert roundings("by 21.3%, that is 21.27%, and 21%") == [("21.3%", "21.27%")]
    assert roundings("by 21.3%, by +21.3% and 21.3 s") == []
    for text in ("0.0 points", "saves −0 s", "1 pairs", " -3", "nan", "5 %"):
        with pytest.raises(AssertionError):
            check(text)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_golden_files(path: Path) -> None:
    check(path.read_text())


METRICS = (
    Metric("success", "guardrail", "proportion", "increase"),
    Metric("score", "guardrail", "mean", "increase", max_regression=Limit(0.1, True)),
)


def analyses() -> dict[str, tuple[Experiment, Analysis]]:
    """Looks at data that win, that do nothing and that are the same in both arms."""
    draw = np.random.default_rng(20_261)
    experiment = make_experiment(others=METRICS, sample_size=40)
    found = {}
    for name, factor, spread in (("win", 0.8, 0.1), ("nothing", 1.0, 0.1), ("equal", 1.0, 0.0)):
        control = list(np.exp(draw.normal(3, spread, 40)))
        treatment = list(factor * np.exp(draw.normal(3, spread, 40)))
        found[name] = experiment, look_at(experiment, alternating(control, treatment))
    return found


@pytest.mark.parametrize("name", ["win", "nothing", "equal"])
def test_real_analyses(name: str) -> None:
    experiment, analysis = analyses()[name]
    life: Life = report_samples.lives()["running"]
    check(render.analysis_report(experiment, life, analysis))
    check(render.comment(experiment, life, analysis, base_branch="main"))
