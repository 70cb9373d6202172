"""Evidence for means that holds at every look: the t-mixture e-process.

The standardised effect is given a normal prior with variance g under the alternative;
the likelihood ratio of Student's t then has a closed form. With n_e = n_A n_B/(n_A + n_B),
r = 1/(1 + g n_e) and ν degrees of freedom

    log E = ½ log r + (ν+1)/2 · [log(1 + t²/ν) − log(1 + r t²/ν)]

(Lindon, Ham, Tingley & Bojinov, arXiv:2210.08589; Grünwald, de Heide & Koolen 2024). Under
no effect E has mean at most 1 at every stopping time, so P(E ever >= 1/alpha) <= alpha
(Ville 1939). Exact for normal data with equal variances; with Welch's t and df it rests on
simulation. It is evaluated after every trial in the ledger's order: a late, early or
repeated look changes nothing. Everything is in logarithms; nothing overflows. Arrays are
[experiments, looks]; one real experiment is one row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from expci.core.dataset.moments import BoolArray, FloatArray
from expci.core.special_functions import special
from expci.core.statistics import moment_prior
from expci.core.statistics.classical import fieller
from expci.core.statistics.mean_difference import SILENT, Looks

SCALE = 0.5  # g where no effect size is planned: the standardised effect ~ N(0, 0.5)
_LOG_2 = math.log(2.0)

Ends = tuple[FloatArray, FloatArray]


def log_e_value(t: ArrayLike, df: ArrayLike, n_e: ArrayLike, scale: float = SCALE) -> FloatArray:
    """Return log E of the two-sided t-mixture, elementwise; finite for infinite t.

    >>> np.exp(log_e_value([0.0, 3.0], df=30, n_e=8)).round(2)  # √r, and √r (1.3/1.06)^15.5
    array([ 0.45, 10.58])
    """
    t, df = np.asarray(t, dtype=np.float64), np.asarray(df, dtype=np.float64)
    r = 1.0 / (1.0 + scale * np.asarray(n_e, dtype=np.float64))
    with np.errstate(over="ignore"):
        x = t * t / df
    # log(1+x) − log(1+rx), rearranged so that x = inf has its limit −log r
    return np.asarray(0.5 * np.log(r) - 0.5 * (df + 1) * np.log(r + (1 - r) / (1 + x)))


def log_e_value_positive(
    t: ArrayLike, df: ArrayLike, n_e: ArrayLike, scale: float = SCALE
) -> FloatArray:
    """Return log E against "the effect is not positive": the half-normal mixture, elementwise.

    Given t, the two-sided mixture's posterior puts T(ν+1)(t √((1−r)(ν+1)/(ν + r t²))) on
    positive effects, so the mixture over them alone is twice that times E. It grows with
    t, and lowering every treatment value lowers t on each path: so its validity at zero
    effect carries over to every negative effect.

    >>> both, one = log_e_value([0.0, 6.0], 30, 8), log_e_value_positive([0.0, 6.0], 30, 8)
    >>> np.exp(one - both).round(2)
    array([1., 2.])
    """
    t, df = np.asarray(t, dtype=np.float64), np.asarray(df, dtype=np.float64)
    r = 1.0 / (1.0 + scale * np.asarray(n_e, dtype=np.float64))
    with np.errstate(over="ignore", divide="ignore"):
        size = np.sqrt((1 - r) * (df + 1) / (df / (t * t) + r))
        posterior = special.stdtr(df + 1, np.sign(t) * size)
        return np.asarray(log_e_value(t, df, n_e, scale) + np.log(2 * posterior))


def critical_value(df: ArrayLike, n_e: ArrayLike, alpha: float, scale: float = SCALE) -> FloatArray:
    """Return the |t| at which E = 1/alpha: the confidence sequence's multiplier; inf where none is.

    sqrt(ν(1−q)/(q−r)) with q = (r alpha²)^(1/(ν+1)) (Lindon et al., as above).

    >>> t = critical_value(df=30, n_e=8, alpha=0.05)
    >>> round(float(t), 2), round(float(np.exp(log_e_value(t, 30, 8))), 6)
    (3.35, 20.0)
    """
    df = np.asarray(df, dtype=np.float64)
    r = 1.0 / (1.0 + scale * np.asarray(n_e, dtype=np.float64))
    q = np.exp((np.log(r) + 2 * math.log(alpha)) / (df + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(q > r, np.sqrt(df * (1 - q) / (q - r)), np.inf)


@dataclass(frozen=True)
class Rules:
    """How evidence is weighed: `harm` is +1 where larger is worse, −1 where smaller is.

    No evidence is taken before `start` units per arm (or pairs). `planned` is the standardised
    effect that evidence is tuned to (`moment_prior`); without it the effect is normal with variance
    `scale`.
    """

    alpha: float
    harm: int
    start: int
    scale: float = SCALE
    planned: float | None = None

    def log_e(self, t: FloatArray, df: FloatArray, n_e: FloatArray) -> FloatArray:
        """The two-sided log E."""
        if self.planned is None:
            return log_e_value(t, df, n_e, self.scale)
        return moment_prior.log_e_value(t, df, n_e, moment_prior.variance_around(self.planned))

    def log_e_positive(self, t: FloatArray, df: FloatArray, n_e: FloatArray) -> FloatArray:
        """log E of an effect in the direction of t."""
        if self.planned is None:
            return log_e_value_positive(t, df, n_e, self.scale)
        variance = moment_prior.variance_around(self.planned)
        return moment_prior.log_e_value_positive(t, df, n_e, variance)

    def critical(self, df: FloatArray, n_e: FloatArray) -> FloatArray:
        """The |t| at which it is log(1/alpha)."""
        if self.planned is None:
            return critical_value(df, n_e, self.alpha, self.scale)
        variance = moment_prior.variance_around(self.planned)
        return moment_prior.critical_value(df, n_e, self.alpha, variance)


def p_value_of(log_e: float) -> float:
    """Return min(1, 1/E).

    >>> round(p_value_of(math.log(20)), 3), p_value_of(-1.0)
    (0.05, 1.0)
    """
    return math.exp(-max(log_e, 0.0))


def p_values(log_e: FloatArray) -> FloatArray:
    """Return min(1, 1/E), elementwise; 1 where there is no evidence (−inf).

    >>> p_values(np.array([-np.inf, 0.0, math.log(20)])).round(3)
    array([1.  , 1.  , 0.05])
    """
    return np.exp(-np.maximum(log_e, 0.0))


@dataclass(frozen=True)
class Weighable:
    """The looks at which evidence may be taken, with t; elsewhere harmless numbers."""

    looks: Looks
    rules: Rules
    at: BoolArray
    t: FloatArray
    df: FloatArray
    n_e: FloatArray

    def at_level(self, alpha: float) -> Weighable:
        """The same with intervals of another level."""
        return replace(self, rules=replace(self.rules, alpha=alpha))

    def log_e(self) -> FloatArray:
        """The largest two-sided log E so far, −inf before any."""
        return self._largest(self.rules.log_e(self.t, self.df, self.n_e))

    def log_e_now(self) -> FloatArray:
        """The two-sided log E at the last look, −inf where it is no evidence: [experiments]."""
        t, df, n_e = (column[:, -1] for column in (self.t, self.df, self.n_e))
        return np.where(self.at[:, -1], self.rules.log_e(t, df, n_e), -np.inf)

    def harm_log_e(self) -> FloatArray:
        """The largest one-sided log E of harm so far, −inf before any.

        The share of the mixture on harmful effects, which is dear to compute, is between a half
        and 1 where t is harmful, and under a half elsewhere. So the one-sided log E is within
        log 2 above the two-sided one, or below it, and only looks that may raise the maximum are
        computed.
        """
        t = self.rules.harm * self.t
        both = self.rules.log_e(t, self.df, self.n_e)
        at_least = np.where(self.at & (t >= 0), both, -np.inf)
        at_most = np.where(t >= 0, both + _LOG_2, both)
        may_raise = self.at & (at_most >= np.maximum.accumulate(at_least, axis=1) - 1e-9)
        log_e = np.full(t.shape, -np.inf)
        df, n_e = self.df[may_raise], self.n_e[may_raise]
        log_e[may_raise] = self.rules.log_e_positive(t[may_raise], df, n_e)
        return np.asarray(np.maximum.accumulate(log_e, axis=1))

    def _largest(self, log_e: FloatArray) -> FloatArray:
        return np.maximum.accumulate(np.where(self.at, log_e, -np.inf), axis=1)

    @SILENT
    def interval(self) -> Ends:
        """The running intersection of the intervals of the difference; infinite before any."""
        with np.errstate(invalid="ignore"):
            margin = np.where(self.at, self._critical * self.looks.error, np.inf)
        difference = np.where(self.at, self.looks.difference, 0.0)
        low, high = intersection(difference - margin, difference + margin)
        return low * self.looks.scale, high * self.looks.scale

    def relative(self) -> Ends:
        """The same as a share of control's mean, by Fieller."""
        return intersection(*fieller_limits(self.looks, self._critical))

    @cached_property
    def _critical(self) -> FloatArray:
        return np.where(self.at, self.rules.critical(self.df, self.n_e), np.inf)


@SILENT
def weighable(looks: Looks, rules: Rules) -> Weighable:
    """Return `looks` from `rules.start` units per arm on, where anything varies.

    >>> from expci.core.statistics.mean_difference import paired
    >>> looks = paired(np.zeros((1, 4)), np.array([[3.0, 1.0, 4.0, 2.0]]), np.ones((1, 4)))
    >>> weighable(looks, Rules(alpha=0.05, harm=1, start=3)).at
    array([[False, False,  True,  True]])
    """
    at = looks.valid & (looks.n >= rules.start)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(at, looks.difference / looks.error, 0.0)
    df, n_e = np.where(at, looks.df, 1.0), np.where(at, looks.n_e, 1.0)
    return Weighable(looks, rules, at, t, df, n_e)


def intersection(low: FloatArray, high: FloatArray) -> Ends:
    """Return what all intervals so far have in common, at each look; crossed where it is empty.

    >>> intersection(np.array([[0.0, 1.0, 0.0]]), np.array([[3.0, 4.0, 2.0]]))
    (array([[0., 1., 1.]]), array([[3., 3., 2.]]))
    """
    return np.maximum.accumulate(low, axis=1), np.minimum.accumulate(high, axis=1)


@SILENT
def fieller_limits(looks: Looks, critical: FloatArray) -> Ends:
    """Return the limits of difference/control at the critical value of each look.

    >>> from expci.core.statistics.mean_difference import two_sample
    >>> looks = two_sample(np.array([[0, 1, 0, 1]]), np.array([[9.0, 12.0, 11.0, 12.0]])).last
    >>> low, high = fieller_limits(looks, np.array([[2.0]]))
    >>> low.round(2), high.round(2)  # 12 over 10 ± 2: 1.2/(1 ± 0.2) − 1
    (array([[0.]]), array([[0.5]]))
    """
    return fieller(
        looks.control,
        looks.difference,
        looks.control_variance,
        looks.error * looks.error,
        looks.covariance,
        critical,
    )
