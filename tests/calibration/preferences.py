"""The exact sign test at every look: false alarms, power against a fixed sign test, and cases."""

from __future__ import annotations

import numpy as np
from scipy import stats
from tables import share, table

from expci.core.statistics.bets import USUAL, Bets, planned_bets
from expci.core.statistics.sign_test import sign_test
from expci.core.statistics.t_mixture import Rules, p_values
from expci.core.statistics.visit_stages import AGAIN, ONCE

EXPERIMENTS = 4000
ALPHA, EFFECT = 0.05, 0.15
RULES = Rules(ALPHA, -1, 1)
PAIRS = (50, 200, 1000)
SIZES = (60, 90, 140, 200)
CASES = ((6, 40), (12, 9), (24, 1), (24, 3), (24, 27), (40, 9))  # cases, visits of each
BETWEEN = (0.0, 0.3)  # a case's own lean is one half ± this, either way as often


def section(scale: float) -> str:
    runs = max(200, int(EXPERIMENTS * scale))
    false, power, cases = _false(runs), _power(runs), _cases(runs // 4)
    return f"""
## Preferences

*False*: a preference is shown at any look without one (mode `anytime`, limit {ALPHA:g}), by pairs
of which a share are ties; {runs} experiments a cell.

{table(("pairs", "ties", "false, at every look", "false, a fixed test at every pair"), false)}
*Power* at {100 * EFFECT:g} points, without ties, with bets on the planned effect: a look after
every pair, and one exact test (`binomtest`) of all pairs at the end. The mean is of the pairs until
it is shown, at most all.

{table(("pairs", "power, every look", "mean pairs", "power, one fixed test"), power)}
Cases, visited in turn, each with a lean of its own beside the common effect. *Naive* takes
every visit for a pair of its own; *one visit* stops after the first visits; {runs // 4} experiments
a cell.

{table(_HEAD, cases)}
"""


_HEAD = (
    *("cases x visits", "lean of a case", "false, over cases", "false, naive"),
    *("power, over cases", "power, naive", "power, one visit"),
)


def _gaps(shape: tuple[int, int], chance: np.ndarray, ties: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    won = np.where(rng.random(shape) < chance, 0.5, -0.5)
    return np.where(rng.random(shape) < ties, 0.0, won)


def _ever(gaps: np.ndarray, unit: np.ndarray | None = None, bets: Bets = USUAL) -> np.ndarray:
    test = sign_test(gaps, unit, RULES, bets, ONCE if unit is None else AGAIN)
    return np.asarray(p_values(test.log_e()) <= ALPHA)


def _false(runs: int) -> list[list[str]]:
    rows = []
    for pairs in PAIRS:
        for ties in (0.0, 0.4):
            gaps = _gaps((runs, pairs), np.array(0.5), ties, 11)
            won, lost = (np.cumsum(side * gaps > 0, axis=1) for side in (1, -1))
            with np.errstate(invalid="ignore"):
                z = np.nan_to_num(np.abs(won - lost) / np.sqrt(won + lost))
            again = ((z >= 1.96) & (won + lost >= 10)).any(axis=1).mean()
            false = _ever(gaps)[:, -1].mean()
            rows.append([str(pairs), f"{ties:g}", share(false, runs, ALPHA), f"{again:.2f}"])
    return rows


def _power(runs: int) -> list[list[str]]:
    rows = []
    for size in SIZES:
        gaps = _gaps((runs, size), np.array(0.5 + EFFECT), 0.0, 12)
        sd = np.sqrt(0.5 - 2 * EFFECT**2)
        shown = _ever(gaps, bets=planned_bets(2 * EFFECT, float(sd), (1, 1), size, ALPHA))
        at = np.where(shown.any(axis=1), shown.argmax(axis=1) + 1, size)
        wins = (gaps > 0).sum(axis=1)
        exact = np.array([stats.binomtest(k, size).pvalue <= ALPHA for k in range(size + 1)])
        cells = [f"{shown[:, -1].mean():.2f}", f"{at.mean():.0f}", f"{exact[wins].mean():.2f}"]
        rows.append([str(size), *cells])
    return rows


def _cases(runs: int) -> list[list[str]]:
    rows = []
    for cases, visits in CASES:
        for between in BETWEEN:
            false, power = (_of_cases(cases, visits, between, e, runs) for e in (0.0, EFFECT))
            cells = [share(false[0], runs, ALPHA), f"{false[1]:.2f}"]
            cells += [f"{one:.2f}" for one in power]
            rows.append([f"{cases} x {visits}", f"{between:g}", *cells])
    return rows


def _of_cases(
    cases: int, visits: int, between: float, effect: float, runs: int
) -> tuple[float, float, float]:
    rng = np.random.default_rng(13)
    lean = np.where(rng.random((runs, cases)) < 0.5, between, -between)
    unit = np.broadcast_to(np.tile(np.arange(cases), visits), (runs, cases * visits))
    chance = np.clip(0.5 + effect + np.take_along_axis(lean, unit, axis=1), 0, 1)
    gaps = _gaps(chance.shape, chance, 0.0, 14)
    over, naive = _ever(gaps, unit), _ever(gaps)
    return float(over[:, -1].mean()), float(naive[:, -1].mean()), float(naive[:, cases - 1].mean())
