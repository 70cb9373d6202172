"""The difference of two arms' means with its error after every trial: Welch's t, and pairs.

Every array is [experiments, trials] or [experiments, looks] in the ledger's order; nan stands
for "no value". One real experiment is one row. Sums run about the arm's first value: that lies
inside the data, no later trial changes it, and sums of squares about it do not cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expci.core.dataset.moments import BoolArray, FloatArray, IntArray

EPSILON = float(np.finfo(np.float64).eps)
# Beyond the edge of a float nothing is valid, and it says so itself.
SILENT = np.errstate(over="ignore", divide="ignore", invalid="ignore", under="ignore")
_SAFE = 1e100  # squares of larger numbers, and of 1/_SAFE, come near the edge of a float


@dataclass(frozen=True)
class Looks:
    """The statistics after every trial, [experiments, looks], in units of `scale` (by row).

    `n` is the smaller arm's; an entry that is not `valid` has no variance to go by.
    """

    n: FloatArray
    difference: FloatArray
    error: FloatArray
    df: FloatArray
    n_e: FloatArray
    control: FloatArray
    control_variance: FloatArray
    covariance: FloatArray  # of the control's mean and the difference
    valid: BoolArray
    scale: FloatArray | float = 1.0

    def only(self, index: IntArray) -> Looks:
        """Some of the looks of each experiment: `index` [experiments, looks]."""
        chosen = {name: np.take_along_axis(getattr(self, name), index, axis=1) for name in _COLUMNS}
        return Looks(**chosen, scale=self.scale)

    @property
    def last(self) -> Looks:
        return self.only(np.full((len(self.n), 1), self.n.shape[1] - 1))


_COLUMNS = tuple(name for name in Looks.__dataclass_fields__ if name != "scale")


def one_row(scale: float, **columns: FloatArray | BoolArray) -> Looks:
    """Return the looks of one experiment from columns [looks].

    >>> column = np.array([1.0, 2.0])
    >>> names = "n difference error df n_e control control_variance covariance valid".split()
    >>> one_row(1.0, **dict.fromkeys(names, column)).n
    array([[1., 2.]])
    """
    return Looks(**{name: column[None, :] for name, column in columns.items()}, scale=scale)  # type: ignore[arg-type]


Running = tuple[FloatArray, FloatArray, FloatArray]  # n, mean about the center, m2


@SILENT
def two_sample(
    arm: IntArray, value: FloatArray, treatment: int = 1, before: FloatArray | None = None
) -> Looks:
    """Return treatment − control by Welch's t after every trial.

    `value` is the mean of the trial's unit after it, `before` the same before it, nan for
    a unit's first trial; without it every trial is its own unit.

    >>> looks = two_sample(np.array([[0, 1, 0, 1]]), np.array([[1.0, 4.0, 3.0, 5.0]]))
    >>> looks.difference[:, -1], looks.error[:, -1], looks.df[:, -1]
    (array([2.5]), array([1.11803399]), array([1.47058824]))
    """
    there = ~np.isnan(value)
    sides = [_centred(value, (arm == index) & there, before) for index in (0, treatment)]
    scale = _scale(np.maximum(sides[0].widest(), sides[1].widest()))
    a, b = (running(side.divided(scale)) for side in sides)
    return welch(a, b, (sides[0].center / scale, sides[1].center / scale), scale)


@dataclass(frozen=True)
class Centred:
    """One arm's values about a center, 0 elsewhere: after each trial and before it.

    `new` marks trials that bring a unit.
    """

    new: BoolArray
    z: FloatArray
    before: FloatArray | None
    center: FloatArray

    def widest(self) -> FloatArray:
        largest = np.maximum(self.z.max(axis=1, initial=0), -self.z.min(axis=1, initial=0))
        return np.asarray(largest[:, None])

    def divided(self, scale: FloatArray | float) -> Centred:
        if np.all(scale == 1.0):
            return self
        before = None if self.before is None else self.before / scale
        return Centred(self.new, self.z / scale, before, self.center)


def _centred(value: FloatArray, mine: BoolArray, before: FloatArray | None) -> Centred:
    first = mine.argmax(axis=1)[:, None]
    center = np.nan_to_num(np.take_along_axis(value, first, axis=1), nan=0.0)
    with np.errstate(over="ignore"):
        z = np.where(mine, value - center, 0.0)
        if before is None:
            return Centred(mine, z, None, center)
        again = mine & ~np.isnan(before)
        return Centred(mine & ~again, z, np.where(again, before - center, 0.0), center)


def _scale(widest: FloatArray) -> FloatArray | float:
    """Powers of two, so that dividing by them rounds nothing; 1 where squares are safe."""
    safe = (widest == 0) | ((widest > 1 / _SAFE) & (widest < _SAFE))
    if safe.all():
        return 1.0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(safe, 1.0, np.exp2(np.floor(np.log2(widest))))


def running(arm: Centred) -> Running:
    """Return n, mean about the center and second moment of the units so far, by row.

    What rounding leaves of the second moment counts as 0.

    >>> every = np.array([[True, True, True]])
    >>> running(Centred(every, np.array([[0.0, 2.0, 4.0]]), None, np.array([[5.0]])))
    (array([[1., 2., 3.]]), array([[0., 1., 2.]]), array([[0., 2., 8.]]))
    """
    n = np.cumsum(arm.new, axis=1, dtype=np.float64)
    if arm.before is None:
        s, q = np.cumsum(arm.z, axis=1), np.cumsum(arm.z * arm.z, axis=1)
    else:
        s = np.cumsum(arm.z - arm.before, axis=1)
        q = np.cumsum(arm.z * arm.z - arm.before * arm.before, axis=1)
    mean = s / np.maximum(n, 1)
    m2 = q - s * mean
    m2 *= m2 > 16 * EPSILON * q
    return n, mean, m2


def welch(
    a: Running, b: Running, centers: tuple[FloatArray, FloatArray], scale: FloatArray | float
) -> Looks:
    """Return looks from both arms' `running` moments about their `centers` (control, treatment).

    >>> three, ten, m2 = np.array([[3.0]]), np.array([[10.0]]), np.array([[6.0]])
    >>> control, treatment = ((three, np.array([[mean]]), m2) for mean in (1, 4))
    >>> looks = welch(control, treatment, (ten, ten), 1.0)
    >>> looks.difference, looks.control, looks.error.round(3)  # √(1 + 1)
    (array([[3.]]), array([[11.]]), array([[1.414]]))
    """
    (n_a, mean_a, m2_a), (n_b, mean_b, m2_b) = a, b
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        v_a, v_b = m2_a / (n_a * (n_a - 1)), m2_b / (n_b * (n_b - 1))
        return independent(
            (n_a, mean_a + centers[0], v_a),
            (n_b, mean_b + centers[1], v_b),
            mean_b - mean_a + (centers[1] - centers[0]),
            scale,
        )


def independent(
    control: Running, treatment: Running, difference: FloatArray, scale: FloatArray | float = 1.0
) -> Looks:
    """Return looks from each arm's n, estimate and squared error.

    The error is the larger of Welch's and Student's. Where arms are unequal and values have a
    long tail, a small arm that missed the large values has a small mean and a small variance at
    once, so that Welch's t alone shows effects that are not there; with equal arms both errors
    are the same.

    >>> eight, half = np.array([[8.0]]), np.array([[0.5]])
    >>> control, treatment = ((eight, np.array([[mean]]), half) for mean in (1, 4))
    >>> looks = independent(control, treatment, np.array([[3.0]]))
    >>> looks.error, looks.df.round(3), looks.n_e
    (array([[1.]]), array([[14.]]), array([[4.]]))
    """
    (n_a, mean_a, v_a), (n_b, _, v_b) = control, treatment
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        error, df = larger_error((n_a, v_a), (n_b, v_b))
        n = np.minimum(n_a, n_b)
        return Looks(
            n=n,
            difference=difference,
            error=error,
            df=df,
            n_e=n_a * n_b / (n_a + n_b),
            control=mean_a,
            control_variance=v_a,
            covariance=-v_a,
            valid=(n >= 2) & (error > 0) & np.isfinite(error),
            scale=scale,
        )


Spread = tuple[FloatArray, FloatArray]  # n, squared error of the mean


@SILENT
def larger_error(a: Spread, b: Spread) -> tuple[FloatArray, FloatArray]:
    """Return the larger of Welch's and Student's error of a difference of two means, and its df.

    The df are Satterthwaite's (1946) with either: they are never more than Student's, so that
    nothing jumps where one error passes the other.

    >>> large, small = (np.array(90.0), np.array(0.1)), (np.array(10.0), np.array(0.1))
    >>> error, df = larger_error(large, small)
    >>> error.round(3), df.round(3)
    (np.float64(0.958), np.float64(32.694))
    """
    (n_a, v_a), (n_b, v_b) = a, b
    variance = v_a + v_b
    share = v_a / variance
    df = 1 / (share**2 / (n_a - 1) + (1 - share) ** 2 / (n_b - 1))
    within = (n_a - 1) * n_a * v_a + (n_b - 1) * n_b * v_b
    student = within / (n_a + n_b - 2) * (1 / n_a + 1 / n_b)
    return np.sqrt(np.maximum(variance, student)), df


@SILENT
def paired(
    control: FloatArray,
    treatment: FloatArray,
    position: FloatArray,
    before: tuple[FloatArray, FloatArray, FloatArray] | None = None,
) -> Looks:
    """Return treatment − control after every pair, freed of the position in the pair.

    The intercept of differences regressed on `position` (+1 where treatment ran first, −1
    where control did, 0 unknown): df = n − 2 and 1/n_e = 1/n + x̄²/Sxx once both orders are
    present, else the one-sample t with n − 1. A pair with a nan is excluded.

    Where a unit has several pairs the three are its means after each pair, and `before` the same
    before it (nan: the unit's first): then n counts units.

    >>> control, order = np.zeros((1, 4)), np.array([[1.0, -1.0, 1.0, -1.0]])
    >>> looks = paired(control, np.array([[3.0, 1.0, 4.0, 2.0]]), order).last
    >>> looks.difference, looks.error.round(4), looks.df
    (array([[2.5]]), array([[0.3536]]), array([[2.]]))
    """
    there = ~np.isnan(control + treatment)
    old = (None, None, None) if before is None else before
    c, t = (_centred(v, there, b) for v, b in zip((control, treatment), old, strict=False))
    scale = _scale(np.maximum(c.widest(), t.widest()))
    centers = c.center / scale, t.center / scale
    c, t, x = c.divided(scale), t.divided(scale), np.where(there, position, 0.0)
    n = np.cumsum(c.new, axis=1, dtype=np.float64)
    earlier = None
    if c.before is not None and t.before is not None and old[2] is not None:
        earlier = _columns(c.before, t.before, np.where(c.new, 0.0, np.nan_to_num(old[2])))
    return _regressed(_Sums(_columns(c.z, t.z, x), earlier), n, centers, scale)


_Columns = dict[str, FloatArray]  # by c, t, d, x: control, treatment, difference, position


@dataclass(frozen=True)
class _Sums:
    """Running sums of products of columns, as they stand after each pair."""

    now: _Columns
    before: _Columns | None

    def __call__(self, *names: str) -> FloatArray:
        added = _product(self.now, names)
        if self.before is not None:
            added = added - _product(self.before, names)
        return np.cumsum(added, axis=1)


def _columns(control: FloatArray, treatment: FloatArray, position: FloatArray) -> _Columns:
    return {"c": control, "t": treatment, "d": treatment - control, "x": position}


def _product(columns: _Columns, names: tuple[str, ...]) -> FloatArray:
    first = columns[names[0]]
    return first if len(names) == 1 else first * columns[names[1]]


def _regressed(
    total: _Sums,
    n: FloatArray,
    centers: tuple[FloatArray, FloatArray],
    scale: FloatArray | float,
) -> Looks:
    least = np.maximum(n, 1)
    sums = {name: total(name) for name in "xcd"}
    mean_x, mean_c, mean_d = (sums[name] / least for name in "xcd")
    sxx = total("x", "x") - n * mean_x**2
    both = sxx > 1e-9
    df = np.where(both, n - 2, n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        lever = np.where(both, mean_x / sxx, 0.0)
        leverage = 1 / n + lever * mean_x
        sxc, sxd = (total("x", k) - mean_x * sums[k] for k in "cd")

        def error(square: FloatArray, product: FloatArray, rest: FloatArray) -> FloatArray:
            left = square - rest / n - np.where(both, product / sxx, 0.0)
            return np.asarray(left * leverage / df)

        squares = {name: total(name, name) for name in "cd"}
        variance = error(squares["d"], sxd * sxd, sums["d"] ** 2)
        values = squares["c"] + total("t", "t")  # rounding leaves this much of d
        noise = 64 * EPSILON * values * leverage / np.maximum(df, 1)
        return Looks(
            n=n,
            difference=mean_d - lever * sxd + (centers[1] - centers[0]),
            error=np.sqrt(np.maximum(variance, 0)),
            df=df,
            n_e=1 / leverage,
            control=mean_c - lever * sxc + centers[0],
            control_variance=error(squares["c"], sxc * sxc, sums["c"] ** 2),
            covariance=error(total("c", "d"), sxc * sxd, sums["c"] * sums["d"]),
            valid=(df >= 1) & (variance > noise),
            scale=scale,
        )


@SILENT
def running_moments(
    value: FloatArray, before: FloatArray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return n, mean and squared standard error of the units so far (nan under two), by row.

    >>> n, mean, squared_error = running_moments(np.array([[1.0, np.nan, 3.0]]))
    >>> n[0, -1], mean[0, -1], squared_error[0, -1]
    (np.float64(2.0), np.float64(2.0), np.float64(1.0))
    """
    arm = _centred(value, ~np.isnan(value), before)
    n, mean, m2 = running(arm)
    with np.errstate(divide="ignore", invalid="ignore"):
        return n, mean + arm.center, np.where(n >= 2, m2 / (n * (n - 1)), np.nan)
