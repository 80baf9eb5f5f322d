"""The part of a spectrum that a sample is too small to show, continued by a power law."""

import numpy as np
from jaxtyping import Float64
from scipy.optimize import brentq

STEEPEST, FLATTEST = 12.0, 0.02


def power_tail(count: float, slope: float, x: float, size: int) -> float:
    """Return `int_x^inf N(u) u^-1.5 du` for the power law that meets a count function at x in level and slope.

    N(u) = sum_i u t_i / (1 + u t_i) counts the eigenvalues t_i above 1/u. The law is t_i = c i^-b, i = 1..size.

    Args:
        count: N at x.
        slope: dN / dlog u at x.
        x: where the sample's own count function ends.
        size: how many eigenvalues there are.
    """
    ranks = np.log(np.arange(1.0, size + 1))
    steepness = _steepness(count, slope, ranks)
    roots = np.exp((_level(steepness, count, ranks) - steepness * ranks) / 2)  # sqrt(x t_i)
    return float((2 * roots * np.arctan(1 / roots)).sum() / np.sqrt(x))


def _steepness(count: float, slope: float, ranks: Float64[np.ndarray, " d"]) -> float:
    """Return the b whose law has this slope, or the nearest that is looked at."""
    target = (count, slope, ranks)
    if _excess(FLATTEST, *target) <= 0:
        return FLATTEST
    return STEEPEST if _excess(STEEPEST, *target) >= 0 else float(brentq(_excess, FLATTEST, STEEPEST, target, 1e-6))


def _excess(steepness: float, count: float, slope: float, ranks: Float64[np.ndarray, " d"]) -> float:
    """Return by how much the slope of the law that has this count is too large."""
    shares = _shares(_level(steepness, count, ranks), steepness * ranks)
    return float((shares * (1 - shares)).sum()) - slope


def _level(steepness: float, count: float, ranks: Float64[np.ndarray, " d"]) -> float:
    """Return log(x c) such that the law has this count at x, by Newton's steps from below, inside a bracket."""
    shape = steepness * ranks
    low, high = -60.0, 60.0 + float(shape[-1])
    level = float(np.interp(count, [0, len(ranks)], [shape[0], shape[-1]]))
    for _ in range(100):
        shares = _shares(level, shape)
        gap = float(shares.sum()) - count
        low, high = (low, level) if gap > 0 else (level, high)
        slope = float((shares * (1 - shares)).sum())
        step = level - gap / slope if slope > 0 else low
        if not low < step < high:
            step = (low + high) / 2
        if abs(step - level) < 1e-12 * max(1.0, abs(level)):
            break
        level = step
    return level


def _shares(level: float, shape: Float64[np.ndarray, " d"]) -> Float64[np.ndarray, " d"]:
    return np.asarray(1 / (1 + np.exp(shape - level)))
