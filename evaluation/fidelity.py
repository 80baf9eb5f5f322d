"""Tr sqrt(S1 S2) of two populations, as a sample without its bias shows it.

The plug-in value is biased: a sample's spectrum is spread out, and a product of two samples' more so.
With l the eigenvalues of the sample's product and N(y) = sum y l / (1 + y l), the population's count
function at x is the sample's at y, where x = y (N / k1 e1) (N / k2 e2): free multiplicative
deconvolution on the negative axis, its factors read off the data as mean leverages e with the row's
patient left out. Then F = 1/pi int N(x) x^-1.5 dx, for int x t / (1 + x t) x^-1.5 dx = pi sqrt(t).
The limit law is Tiomoko & Couillet 2019 ("Random matrix-improved estimation of the Wasserstein
distance between two centered Gaussian distributions"); leverages in place of its (1 + c z) serve
heavy tails, n < d and patients with many rows. No proof is claimed: `benchmarks/coverage.py` tests it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.optimize import brentq

from evaluation.intervals import number_groups
from evaluation.leverage import left_out_leverages
from evaluation.tail import power_tail

GRID = 96
SEEN = 0.8  # of the spectrum of fewer rows than features, the share of counts that is read
WIDE = 1.25  # rows per feature above which the whole spectrum is read
SLOPE_POINTS = 8


@dataclass(frozen=True, eq=False)
class Side:
    """One sample, centered, with what its patients say of its moments.

    Args:
        squares: squared length of each row.
        trace: Tr S without bias, also where the rows of a patient hang together.
        mean_variance: variance of the mean, summed over features.
    """

    rows: Float64[np.ndarray, "n d"]
    patients: Int64[np.ndarray, " n"]
    squares: Float64[np.ndarray, " n"]
    trace: float
    mean_variance: float

    @property
    def freedom(self) -> float:
        """Return what the sum of squares is divided by to give the trace: n - 1 for independent rows."""
        return float(self.squares.sum()) / self.trace

    @property
    def crowding(self) -> float:
        """Return Kish's design effect: how many rows are worth one independent row."""
        return len(self.rows) * self.mean_variance / self.trace


@dataclass(frozen=True, eq=False)
class Fidelity:
    """F = Tr sqrt(S1 S2) and twice its linearization in each row; both sides' influence sums to zero."""

    value: float
    first: Float64[np.ndarray, " n"]
    second: Float64[np.ndarray, " m"]


def measure_side(rows: Float64[np.ndarray, "n d"], groups: Int64[np.ndarray, " n"]) -> Side:
    """Center the rows and estimate trace and variance of the mean from patients as the unit."""
    patients, count = number_groups(groups)
    centered = rows - rows.mean(0)
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, patients, centered)
    squares = (centered**2).sum(1)
    variance = count / (count - 1) * float((sums**2).sum()) / len(rows) ** 2
    trace = float(squares.mean()) + variance
    if trace == 0:
        raise ValueError(f"features must vary, but all {len(rows)} rows are equal")
    return Side(centered, patients, squares, trace, variance)


def debiased_fidelity(first: Side, second: Side, *, grid: int = GRID) -> Fidelity:
    """Return F of the populations and its influence from one eigendecomposition and `grid` weightings."""
    left, values, right = _decompose(first, second)
    fewest, width = min(len(first.rows), len(second.rows)) - 1, first.rows.shape[1]
    y = _levels(values, fewest, width, grid)
    weights = y[:, None] * values / (1 + y[:, None] * values)
    counts = weights.sum(1)
    pulls = [left_out_leverages(left, weights, first.patients), left_out_leverages(right, weights, second.patients)]
    means = [pull.mean(1) for pull in pulls]
    x = y * counts / (first.freedom * means[0]) * counts / (second.freedom * means[1])
    kept = _rising(x)
    u, counts = np.log(x[kept]), counts[kept]
    noise = first.crowding / first.freedom + second.crowding / second.freedom
    curve = _without_curvature_bias(u, counts, noise)
    parts = _parts(u, curve, width, whole=fewest > width and bool(counts[-1] > 0.99 * width))
    influences = [_influence(parts, pull[kept] / mean[kept, None]) for pull, mean in zip(pulls, means, strict=True)]
    return Fidelity(float(parts.sum()), *influences)


def _decompose(
    first: Side, second: Side
) -> tuple[Float64[np.ndarray, "n r"], Float64[np.ndarray, " r"], Float64[np.ndarray, "m r"]]:
    """Return the singular vectors of the cross-Gram matrix and its squared singular values, largest first.

    The smaller side's eigenvectors give both; what lies below 1e-14 of the largest is dropped.
    """
    if len(first.rows) > len(second.rows):
        right, values, left = _decompose(second, first)
        return left, values, right
    scale = np.sqrt(first.freedom * second.freedom)
    if len(first.rows) <= first.rows.shape[1]:
        cross = first.rows @ second.rows.T / scale
        values, left = _largest(*np.linalg.eigh(cross @ cross.T))
        return left, values, (cross.T @ left) / np.sqrt(values)
    (basis, factor), (other_basis, other_factor) = np.linalg.qr(first.rows), np.linalg.qr(second.rows)
    cross = factor @ other_factor.T / scale
    values, left = _largest(*np.linalg.eigh(cross @ cross.T))
    return basis @ left, values, other_basis @ ((cross.T @ left) / np.sqrt(values))


def _largest(
    eigenvalues: Float64[np.ndarray, " k"], vectors: Float64[np.ndarray, "j k"]
) -> tuple[Float64[np.ndarray, " r"], Float64[np.ndarray, "j r"]]:
    kept = eigenvalues > 1e-14 * eigenvalues[-1]
    return eigenvalues[kept][::-1], vectors[:, kept][:, ::-1]


def _levels(values: Float64[np.ndarray, " r"], fewest: int, width: int, grid: int) -> Float64[np.ndarray, " g"]:
    """Return y from where nothing is counted to where all, or all that can be trusted, is."""
    low, high = np.log(1e-3 / values[0]), np.log(1e3 / values[-1])
    most = SEEN * fewest
    if fewest <= WIDE * width and _counted_beyond(high, values, most) > 0:
        high = brentq(_counted_beyond, low, high, (values, most))
    return np.exp(np.linspace(low, high, grid))


def _counted_beyond(log_y: float, values: Float64[np.ndarray, " r"], most: float) -> float:
    scaled = np.exp(log_y) * values
    return float((scaled / (1 + scaled)).sum()) - most


def _rising(x: Float64[np.ndarray, " g"]) -> Bool[np.ndarray, " g"]:
    """Mark x up to where it ceases to rise, for there the map to the population breaks down."""
    falls = np.flatnonzero(~(np.diff(x) > 0))
    last = falls[0] if len(falls) else len(x) - 1
    if last < SLOPE_POINTS:
        raise ValueError(f"too few rows to read a spectrum: {last + 1} of {len(x)} points; add patients")
    return np.arange(len(x)) <= last


def _without_curvature_bias(
    u: Float64[np.ndarray, " g"], counts: Float64[np.ndarray, " g"], noise: float
) -> Float64[np.ndarray, " g"]:
    """Take out the O(1/n) bias of counts of real-valued data, by their derivatives in log x."""
    first = np.gradient(counts, u)
    second = np.gradient(first, u)
    return np.asarray(counts - noise * (2 * (counts - first) * first / counts - (first - second) / 2))


def _parts(
    u: Float64[np.ndarray, " g"], curve: Float64[np.ndarray, " g"], width: int, *, whole: bool
) -> Float64[np.ndarray, " g"]:
    """Return what each point adds to F: trapezoids in log x, below them N ~ x, beyond them the tail."""
    steps = np.diff(u)
    span = np.zeros_like(u)
    span[:-1] += steps / 2
    span[1:] += steps / 2
    parts = span * curve * np.exp(-u / 2)
    parts[0] += 2 * curve[0] * np.exp(-u[0] / 2)
    parts[-1] += 2 * curve[-1] * np.exp(-u[-1] / 2) if whole else _tail(u, curve, width)
    return np.asarray(parts / np.pi)


def _tail(u: Float64[np.ndarray, " g"], curve: Float64[np.ndarray, " g"], width: int) -> float:
    slant = np.polyfit(u[-SLOPE_POINTS:] - u[-1], curve[-SLOPE_POINTS:], 2)[1]
    count = float(np.clip(curve[-1], 1e-3, 0.999 * width))
    return power_tail(count, max(float(slant), 1e-6), float(np.exp(u[-1])), width)


def _influence(parts: Float64[np.ndarray, " g"], pulls: Float64[np.ndarray, "g n"]) -> Float64[np.ndarray, " n"]:
    influence = parts @ pulls
    return np.asarray(influence - influence.mean())
