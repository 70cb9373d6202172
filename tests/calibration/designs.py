"""Covariates, covariates within pairs, and blocks by arrival: one experiment at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tables import covered, experiments_of, share, table
from worlds import correlated

from expci.core.dataset.unit_paths import Pairs, UnitPath
from expci.core.statistics.ancova import START, Adjusted
from expci.core.statistics.ancova_pairs import AdjustedPairs
from expci.core.statistics.ratio import asymptotic_scale
from expci.core.statistics.t_mixture import Rules
from expci.core.statistics.two_arms import Sample
from support.evidence import by_looks

ALPHA = 0.05
EXPERIMENTS = 1000
SIZE = 150
EFFECT = 0.3
RULES = Rules(ALPHA, 1, START, asymptotic_scale(2 * SIZE, ALPHA))


@dataclass(frozen=True)
class Drawn:
    """`values` [arms, units] without an effect, `covariates` [number, arms, units]."""

    values: np.ndarray
    covariates: np.ndarray


Draw = Callable[[np.random.Generator], Drawn]


def _linear(covariates: int, noise: str = "normal", spread: float = 1.0) -> Draw:
    """Their covariates' sum and a noise that is `spread` times as wide in the treatment."""

    def draw(rng: np.random.Generator) -> Drawn:
        size = (2, SIZE)
        z = rng.standard_normal((covariates, *size))
        draws: dict[str, Callable[[tuple[int, int]], np.ndarray]] = {
            "normal": rng.standard_normal,
            "t": lambda shape: rng.standard_t(3, shape),
            "lognormal": lambda shape: np.exp(rng.standard_normal(shape)),
        }
        rest = draws[noise](size)
        return Drawn(z.sum(axis=0) + rest * np.array([[1.0], [spread]]), z)

    return draw


def _uneven_noise(rng: np.random.Generator) -> Drawn:
    z = rng.standard_normal((1, 2, SIZE))
    return Drawn(z[0] + (0.3 + np.abs(z[0])) * rng.standard_normal((2, SIZE)), z)


def _curved(rng: np.random.Generator) -> Drawn:
    z = np.exp(rng.standard_normal((1, 2, SIZE)))
    return Drawn(np.minimum(z[0] ** 2, 20) + rng.standard_normal((2, SIZE)), z)


def _other_slope(rng: np.random.Generator) -> Drawn:
    z = rng.standard_normal((1, 2, SIZE))
    slopes = np.array([[1.0], [3.0]])
    return Drawn(slopes * z[0] + rng.standard_normal((2, SIZE)), z)


def _drift(rho: float, spread: float) -> Draw:
    """Trials in random order within blocks of two, correlated with the one before."""

    def draw(rng: np.random.Generator) -> Drawn:
        noise = correlated(rng.standard_normal((1, 2 * SIZE)), rho).reshape(SIZE, 2)
        swapped = rng.random(SIZE) < 0.5
        noise[swapped] = noise[swapped][:, ::-1]
        return Drawn(noise.T * np.array([[1.0], [spread]]), np.empty((0, 2, SIZE)))

    return draw


def _two(drawn: Drawn) -> Adjusted:
    return Adjusted(_sample(drawn.values), tuple(_sample(z) for z in drawn.covariates))


def _sample(values: np.ndarray) -> Sample:
    return Sample(_path(values[0], 0), _path(values[1], 1))


def _path(values: np.ndarray, arm: int) -> UnitPath:
    index = np.arange(values.size)
    return UnitPath(2 * index + arm, index, values, np.full(values.size, np.nan))


def _pairs(drawn: Drawn, rng: np.random.Generator) -> AdjustedPairs:
    """Balanced in order over every two pairs, as the runner makes them."""
    first = np.where(rng.random(SIZE // 2) < 0.5, 1.0, -1.0)
    return _side_by_side(drawn, np.stack([first, -first], axis=1).ravel())


def _side_by_side(drawn: Drawn, first: np.ndarray) -> AdjustedPairs:
    index = np.arange(SIZE)
    plain = Sample(
        _path(drawn.values[0], 0),
        _path(drawn.values[1], 1),
        Pairs(index, index + SIZE, first, 0, 0),
        drawn.values.ravel(),
    )
    return AdjustedPairs(plain, tuple(z.ravel() for z in drawn.covariates))


Units = Adjusted | AdjustedPairs


def _blocks(drawn: Drawn, rng: np.random.Generator) -> AdjustedPairs:
    del rng
    return _side_by_side(drawn, np.zeros(SIZE))


SETTINGS: tuple[tuple[str, str, Draw], ...] = (
    *(
        (design, name, draw)
        for design in ("independent", "pairs")
        for name, draw in (
            ("1 covariate, normal", _linear(1)),
            ("5 covariates, normal", _linear(5)),
            ("1 covariate, t(3)", _linear(1, "t")),
            ("1 covariate, lognormal(1)", _linear(1, "lognormal")),
            ("1 covariate, sd 1:3", _linear(1, spread=3.0)),
            ("noise grows with the covariate", _uneven_noise),
            ("curved influence, skewed covariate", _curved),
            ("another slope in each arm", _other_slope),
        )
    ),
    *(
        ("blocks", f"drift {rho:g}, sd 1:{spread:g}", _drift(rho, spread))
        for rho in (0.0, 0.5, 0.9)
        for spread in (1.0, 3.0)
    ),
)


def section(scale: float) -> str:
    experiments = experiments_of(EXPERIMENTS, scale, 100)
    rows = []
    for design, name, draw in SETTINGS:
        effect, harm, covers, power, plain = _measure(design, draw, experiments)
        rows.append(
            [
                design,
                name,
                share(effect, experiments, ALPHA),
                share(harm, experiments, ALPHA),
                covered(covers, experiments, 1 - ALPHA),
                share(power, experiments),
                share(plain, experiments),
            ]
        )
    header = ("design", "values", "effect shown", "harm shown", "interval covers", "power")
    return f"""
## Covariates and blocks

`adjust_by`, in mode `anytime`, a look after every trial (pair) from {START} to {SIZE} per arm.
*Independent*: analysis of covariance of two samples. *Pairs*: pair differences regressed on the
order and the covariates' differences. *Blocks* (`adjust_by: [block]` in a blocked design): the
k-th units of both arms as they arrive as a pair, where every trial is correlated with the one
before (*drift*). *Harm shown*: one-sided, at {ALPHA:g}. *Power*: an effect of {EFFECT:g} is shown,
with the adjustment and without it. {experiments} experiments a row.

{table((*header, "unadjusted"), rows)}
In blocks by arrival drift cancels as it does in pairs, and where it affects one arm more they
fail as pairs do; without the adjustment a blocked design is cautious instead. The check
*dependence* looks at the differences then.
"""


def _measure(design: str, draw: Draw, experiments: int) -> tuple[float, float, float, float, float]:
    rng, counts = np.random.default_rng(21), np.zeros(5)
    for _ in range(experiments):
        drawn = draw(rng)
        null, order = _units(design, drawn, rng)
        found = by_looks(null.looks(), RULES)
        assert found is not None
        low, high = found.interval
        counts[:3] += [
            found.p_value <= ALPHA,
            found.harm_p_value <= ALPHA,
            low <= 0 <= high,
        ]
        shifted = Drawn(drawn.values + np.array([[0.0], [EFFECT]]), drawn.covariates)
        adjusted = _again(design, shifted, order)
        plain = _sample(shifted.values) if design == "blocks" else adjusted.plain
        for index, units in ((3, adjusted), (4, plain)):
            shown = by_looks(units.looks(), RULES)
            counts[index] += shown is not None and shown.p_value <= ALPHA
    effect, harm, covers, power, unadjusted = counts / experiments
    return effect, harm, covers, power, unadjusted


def _units(design: str, drawn: Drawn, rng: np.random.Generator) -> tuple[Units, np.ndarray]:
    """The units, and which run of each pair came first."""
    if design == "independent":
        return _two(drawn), np.zeros(SIZE)
    made = _blocks(drawn, rng) if design == "blocks" else _pairs(drawn, rng)
    assert made.plain.pairs is not None
    return made, made.plain.pairs.treatment_first


def _again(design: str, drawn: Drawn, order: np.ndarray) -> Units:
    return _two(drawn) if design == "independent" else _side_by_side(drawn, order)
