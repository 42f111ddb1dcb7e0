"""How a curve of magnitudes over lags falls: half-life and plateau, at any reach.

The share of the area depends on the reach, so an exponential on a plateau, a exp(-t / tau) + c, is
fitted to the lags beyond the newest ones. A curve that still falls at its end has no plateau; its
tail alone says how it goes on. Times are of what lies above the plateau: the curve itself within
the reach, and the exponential beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...evaluation.measures import Floats

BINS = 40  # of lags, about evenly on a logarithmic axis
CONSTANTS = 600  # time constants that are tried
LONGEST = 4.0  # reaches, of a time constant: a slower fall cannot be told from a plateau
FEWEST = 6  # bins, for a fit
TAIL = 0.3  # share of the reach after which the tail begins
LEVEL = 0.85  # share of the height before that a plateau keeps at least
FAINTEST = 1e-6  # of the largest magnitude


@dataclass(frozen=True)
class Decay:
    """Curves over lags, and what was fitted to each; every field but the first two is (W,)."""

    curves: Floats  # magnitudes, the newest frame first, (W, R); NaN where there is no such lag
    rate_hz: float
    height: Floats  # of the exponential; 0 where nothing falls
    constant_s: Floats  # of the exponential; NaN where nothing falls
    plateau: Floats  # what does not fall, in units of the curve
    straight: Floats  # R squared of the fit on a logarithmic scale; NaN without a fit

    def time_within(self, share: float = 0.5) -> Floats:
        """Seconds within which a share of what lies above the plateau lies, (W,)."""
        return np.array([self._within(place, share) for place in range(len(self.curves))])

    def plateau_share(self) -> Floats:
        """The plateau as a share of the mean magnitude in the newest second, (W,)."""
        newest = np.nanmean(self.curves[:, : round(self.rate_hz)], axis=1)
        return np.divide(self.plateau, newest, out=np.zeros(len(newest)), where=newest > 0)

    def _within(self, place: int, share: float) -> float:
        curve = self.curves[place]
        above = np.where(np.isnan(curve), 0.0, curve - self.plateau[place])
        summed = np.maximum.accumulate(np.concatenate([[0.0], np.cumsum(above)]))
        reach = int((~np.isnan(curve)).sum())
        height, constant = self.height[place], self.constant_s[place] * self.rate_hz
        # A geometric series: the sum over all lags from the reach on.
        beyond = height * np.exp(-reach / constant) / -np.expm1(-1 / constant) if height > 0 else 0
        wanted = share * (summed[-1] + beyond)
        if not wanted > 0:
            return float("nan")
        if wanted <= summed[-1]:
            return float(np.interp(wanted, summed, np.arange(len(summed)))) / self.rate_hz
        return float(reach - constant * np.log1p((summed[-1] - wanted) / beyond)) / self.rate_hz


def level_off(curves: Floats) -> NDArray[np.bool_]:
    """Whether the last fifth of curves (W, R) is as high as the third: else there is no plateau."""
    edges = np.linspace(0, curves.shape[1], 6).astype(int)[:5]
    means, there = _binned(curves, edges)
    return (there[:, 4] > 0) & (means[:, 4] >= LEVEL * means[:, 2])


def fit_decay(curves: Floats, rate_hz: float, first: int) -> Decay:
    """Fit an exponential on a plateau to curves over lags from `first` on, (W, R).

    Each time constant of a grid is tried, with the height and the plateau, not below 0, that fit
    best: relative to the curve, so that the far lags count as well. NaN only at the far end.
    """
    count, reach = curves.shape
    edges = np.unique(np.geomspace(first + 1, max(reach, first + 1), BINS + 1).astype(int)) - 1
    edges = edges[edges < reach]
    if len(edges) < FEWEST:
        nothing, unknown = np.zeros(count), np.full(count, np.nan)
        return Decay(curves, rate_hz, nothing, unknown, nothing, unknown)
    binned, there = _binned(curves, edges)
    # Relative to the curve, down to what single precision can tell from nothing.
    floor = np.maximum(binned, FAINTEST * binned.max(axis=1, keepdims=True))
    weight = _ratio(1, floor**2, (floor > 0) & (there > 0))
    # What still falls is fitted by its tail alone, by which it goes on, unless that is nothing.
    falls_on = ~level_off(curves)[:, None]
    tail = edges >= TAIL * reach
    faint = binned[:, tail].max(axis=1, keepdims=True) <= 1e3 * FAINTEST * binned.max()
    weight = np.where(falls_on & ~faint & ~tail, 0, weight)
    constants = np.geomspace(1, LONGEST * reach, CONSTANTS)  # in frames
    falls = np.exp(-np.arange(reach)[None] / constants[:, None])
    basis = np.add.reduceat(falls, edges, axis=1) / np.diff([*edges, reach])  # (CONSTANTS, bins)
    w, wy, wyy = ((weight * binned**power).sum(axis=1)[:, None] for power in (0, 1, 2))
    wb, wbb, wby = weight @ basis.T, weight @ (basis**2).T, (weight * binned) @ basis.T
    determinant = w * wbb - wb**2
    a = _ratio(w * wby - wb * wy, determinant, determinant > 1e-12 * w**2)
    c = _ratio(wy - a * wb, w, w > 0)
    falling = (c < 0) | falls_on  # what still falls has no plateau yet
    alone = _ratio(wby, wbb, wbb > 1e-12 * w)
    a, c = np.where(falling, alone, np.maximum(a, 0)), np.where(falling, 0, c)
    c = np.where(a > 0, c, _ratio(wy, w, w > 0))
    error = wyy - 2 * a * wby - 2 * c * wy + a**2 * wbb + 2 * a * c * wb + c**2 * w
    best, rows = error.argmin(axis=1), np.arange(count)
    height, plateau = a[rows, best], c[rows, best]
    constant_s = np.where(height > 0, constants[best] / rate_hz, np.nan)
    straight, fitted = np.full(count, np.nan), height[:, None] * basis[best] + plateau[:, None]
    for row in rows:
        known = (binned[row] > FAINTEST * binned[row].max()) & (fitted[row] > 0)
        heights = np.log(binned[row, known])
        if known.sum() >= FEWEST and heights.var():
            missed = heights - np.log(fitted[row, known])
            straight[row] = 1 - np.mean(missed**2) / heights.var()
    return Decay(curves, rate_hz, height, constant_s, plateau, straight)


def _binned(curves: Floats, edges: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Means of curves between edges, 0 where there is no lag, and counts of lags, (W, bins)."""
    there = np.add.reduceat(~np.isnan(curves), edges, axis=1).astype(float)
    return _ratio(np.add.reduceat(np.nan_to_num(curves), edges, axis=1), there, there > 0), there


def _ratio(above: Floats | float, below: Floats, where: NDArray[np.bool_]) -> Floats:
    """Quotients, 0 elsewhere."""
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=where)
