"""Kernel distance (KID): the cubic-kernel discrepancy as a complete, unbiased U-statistic."""

import numpy as np
from jaxtyping import Float64, Int64

from evaluation.influence import Influence
from evaluation.intervals import check_level, number_groups, symmetric_interval
from evaluation.metric import Metric, register
from evaluation.single_thread import single_thread
from evaluation.types import FeatureSet, MetricResult, check_pair, counts

BLOCK = 1024  # rows of the kernel matrix held at once


def kernel_distance(real: FeatureSet, generated: FeatureSet, *, level: float = 0.95) -> MetricResult:
    """Measure the KID over all pairs; unbiased, so it may be negative where the sets agree.

    Within a side only pairs of different patients count: two slices of one patient resemble each
    other, and their pairs would raise the value.

    >>> real, generated = (FeatureSet(np.full((4, 1), x), np.arange(4), "toy") for x in (0.0, 1.0))
    >>> kernel_distance(real, generated).point  # (0 + 1)^3 + (1 + 1)^3 - 2 (0 + 1)^3
    7.0
    """
    check_pair(real, generated)
    check_level(level)
    influence = kernel_influence(real, generated)
    error = influence.error(real, generated)
    method = "U-statistic -+ t x influence-function error summed per patient"
    limits = symmetric_interval(influence.point, error, level=level, method=method)
    return MetricResult(
        name=f"kid_{real.extractor}",
        point=influence.point,
        low=limits.low,
        high=limits.high,
        level=level,
        interval=limits.method,
        n=counts(real, generated),
        extractor=real.extractor,
        direction="lower",
        note="unbiased at any n; pairs inside one patient are left out",
    )


register(
    Metric(
        name="kid",
        direction="lower",
        on="features",
        on_itself=None,
        bounds=(-np.inf, np.inf),
        symmetric=True,
        unbiased=True,
        measure=kernel_distance,
    )
)


def kernel_influence(real: FeatureSet, generated: FeatureSet) -> Influence:
    """Return the distance and each row's influence: 2 (its mean kernel within, less its mean kernel across).

    Products run on one thread: the last digits then do not depend on how many there are.
    """
    with single_thread():
        x_within, x_value = _within(real)
        y_within, y_value = _within(generated)
        cross = [_kernel(block, generated.rows) for block in _blocks(real.rows)]
    x_across = np.concatenate([part.mean(1) for part in cross])
    y_across = sum(part.sum(0) for part in cross) / len(real)
    across = float(x_across.mean())
    return Influence(
        point=x_value + y_value - 2 * across,
        real=2 * (x_within - x_value) - 2 * (x_across - across),
        generated=2 * (y_within - y_value) - 2 * (np.asarray(y_across) - across),
    )


def _within(features: FeatureSet) -> tuple[Float64[np.ndarray, " n"], float]:
    """Return each row's mean kernel with the rows of other patients, and the mean over all such pairs."""
    index, patients = number_groups(features.groups)
    sizes = np.bincount(index, minlength=patients)[index]
    sums = np.concatenate(
        [
            (_kernel(features.rows[start : start + BLOCK], features.rows) * _apart(index, start)).sum(1)
            for start in range(0, len(index), BLOCK)
        ]
    )
    others = len(index) - sizes
    value = float(sums.sum() / others.sum())
    return sums / others, value


def _apart(index: Int64[np.ndarray, " n"], start: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    return np.asarray(index[start : start + BLOCK, None] != index[None, :])


def _kernel(x: Float64[np.ndarray, "b d"], y: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "b m"]:
    """Return (x.y / d + 1)^3, the kernel of Binkowski et al. 2018."""
    base = x @ y.T / x.shape[1] + 1
    return np.asarray(base * base * base)


def _blocks(rows: Float64[np.ndarray, "n d"]) -> list[Float64[np.ndarray, "b d"]]:
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
