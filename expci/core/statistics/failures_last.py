"""Failed runs rank last, at the least cost of power: does a treatment hide its slow runs?

A treatment that kills its slowest runs has fast survivors. Where every run that ends beyond some
time counts as that time, and a failed one too, it gains nothing: for each such time the share of
runs that ended sooner is what it was. Any of these times serves, and one far out drowns the
evidence in failures that both arms share. The best one, for normal values of which a share f fails
by chance, lies a standard deviations above the mean,

    φ(a)/a − Φ(−a) = f/(1 − f),

since there a failure, which tells nothing, and the slow runs it is pooled with tell as much as a
run at that time (Huber 1965, "A robust version of the probability ratio test", one-sided). Mean,
spread and share are those of all earlier runs, whatever the arm: what a run counts as depends on
nothing that comes later, and not on its own end.

Values are [experiments, runs] or [experiments, pairs] on the scale of analysis, larger is worse,
nan: failed. Where nothing has failed so far a run counts as it is.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray
from expci.core.special_functions import special

_FIRST = 10  # runs; no evidence is weighed on fewer, so moments over them are fair
_PRIOR = 0.5  # failures, and as many successes, before the first run
_FURTHEST = 6.0  # standard deviations


def ceiling(share: FloatArray) -> FloatArray:
    """Return how many standard deviations above the mean the best time lies; `inf` at share 0.

    >>> ceiling(np.array([0.0, 0.05, 0.2])).round(2)
    array([ inf, 1.16, 0.64])
    """
    with np.errstate(divide="ignore"):
        odds = share / (1 - share)
    places, of_places = _odds_of_places()
    return np.where(share > 0, np.interp(-odds, of_places, places), np.inf)


@cache
def _odds_of_places() -> tuple[FloatArray, FloatArray]:
    """Places a, and −f/(1 − f) for each, which grows with a."""
    a = np.linspace(0.005, _FURTHEST, 1200)
    density = np.exp(-a * a / 2) / np.sqrt(2 * np.pi)
    return a, special.ndtr(-a) - density / a


def ranked_runs(values: FloatArray) -> FloatArray:
    """Return what each run counts as.

    >>> times = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 4.0, 5.0, np.nan, 9.0]])
    >>> ranked_runs(times).round(2)[0, 8:]  # ten runs of 3 ± 1.41 before the first failure
    array([4.  , 5.  , 4.69, 4.16])
    """
    failed = np.isnan(values)
    mean, sd = (_before(moment, _FIRST) for moment in _moments(values, ~failed))
    most = mean + _times(ceiling(_share(failed.astype(np.float64), 1)), sd)
    return np.where(failed, most, np.minimum(values, most))


def ranked_pairs(control: FloatArray, treatment: FloatArray) -> FloatArray:
    """Return the difference, treatment − control, that each pair counts as.

    Of a pair whose runs are alike (correlation ρ) the one that ended tells where the other would
    have: a failed one is worse than it by B = a·s − (1 − ρ)(x − mean), s² = sd²(1 − ρ²), or by
    nothing. No difference counts for more than that, so that one near to failing never counts for
    more than a failure. Without correlation that is `ranked_runs`, run by run; with much of it
    every difference is cut at a standard deviations. Two failures differ by 0.

    >>> steady, slower = np.full((1, 6), 3.0), np.array([[4.0, 5.0, 4.0, 5.0, 4.0, np.nan]])
    >>> ranked_pairs(steady, slower).round(2)
    array([[1.  , 2.  , 1.  , 2.  , 1.  , 1.63]])
    """
    gap_c, gap_t = np.isnan(control), np.isnan(treatment)
    both = np.stack([control, treatment], axis=2).reshape(control.shape[0], -1)
    mean, sd = (moment[:, 1::2] for moment in _moments(both, ~np.isnan(both)))
    difference = treatment - control
    square = _running_mean(difference * difference, ~(gap_c | gap_t))
    mean, sd, square = (_before(moment, _FIRST // 2) for moment in (mean, sd, square))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.clip(np.nan_to_num(1 - square / (2 * sd * sd)), 0.0, 1.0)
    place = ceiling(_share(gap_c.astype(np.float64) + gap_t, 2))
    far = _times(place, sd * np.sqrt(1 - correlation**2))

    def worse_by(ended: FloatArray) -> FloatArray:
        return np.maximum(0.0, far - (1 - correlation) * np.nan_to_num(ended - mean))

    most, least = worse_by(control), -worse_by(treatment)
    cut = np.clip(np.nan_to_num(difference), least, most)
    one = np.where(gap_t, most, np.where(gap_c, least, cut))
    return np.where(gap_c & gap_t, 0.0, one)


def _times(place: FloatArray, sd: FloatArray) -> FloatArray:
    """a standard deviations; beyond everything where nothing has failed."""
    return np.where(np.isinf(place), np.inf, np.where(np.isinf(place), 0.0, place) * sd)


def _moments(values: FloatArray, there: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the values so far, 0 where there is none."""
    first = there.argmax(axis=1)[:, None]  # no later value changes it
    about = np.nan_to_num(np.take_along_axis(values, first, axis=1))
    centred = values - about
    mean = _running_mean(centred, there)
    square = _running_mean(centred * centred, there) - mean * mean
    return mean + about, np.sqrt(np.maximum(square, 0.0))


def _running_mean(values: FloatArray, there: BoolArray) -> FloatArray:
    total = np.cumsum(np.where(there, values, 0.0), axis=1)
    return np.asarray(total / np.maximum(np.cumsum(there, axis=1), 1))


def _before(running: FloatArray, first: int) -> FloatArray:
    """What stood before each entry; of the `first` ones what stood after all of them."""
    before = np.concatenate([running[:, :1], running[:, :-1]], axis=1)
    first = min(first, running.shape[1])
    before[:, :first] = running[:, first - 1 : first]
    return before


def _share(failures: FloatArray, runs_each: int) -> FloatArray:
    """The share of failures before each entry; 0 until there is one, itself included."""
    so_far = np.cumsum(failures, axis=1)
    earlier = runs_each * np.arange(failures.shape[1])
    share = (so_far - failures + _PRIOR) / (earlier + 2 * _PRIOR)
    return np.where(so_far > 0, share, 0.0)
