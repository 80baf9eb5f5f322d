"""Frechet distance of two feature sets, without a matrix square root, with an interval from its influence function.

With row-centered features X (n1 x d) and Y (n2 x d), Tr sqrt(S1 S2) is the nuclear norm of X Y'
over sqrt((n1 - 1)(n2 - 1)); a side with n > d enters through its d x d triangular factor.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float64

from evaluation.frechet_bootstrap import frechet_replicates
from evaluation.influence import Influence
from evaluation.intervals import (
    Interval,
    StandardError,
    check_level,
    number_groups,
    resample_patients,
    symmetric_interval,
)
from evaluation.metric import Metric, register
from evaluation.single_thread import on_one_thread
from evaluation.types import FeatureSet, MetricResult, check_pair, counts

FrechetInterval = Literal["influence", "bootstrap", "percentile (does not cover)"]
BIASED = "biased up: compare only values at this n"


def frechet_distance(
    real: FeatureSet,
    generated: FeatureSet,
    *,
    level: float = 0.95,
    interval: FrechetInterval = "influence",
    replicates: int = 1000,
    seed: int = 0,
) -> MetricResult:
    """Measure the plug-in Frechet distance; the interval is for its mean at these sample sizes.

    The distance of the two populations lies below, often far below: the plug-in is biased up, and an
    interval around it does not cover them when n is small.

    >>> rows = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])
    >>> real, moved = (FeatureSet(rows + shift, np.arange(4), "toy") for shift in (0.0, 3.0))
    >>> round(frechet_distance(real, moved).point, 9)  # equal spread: the squared distance of the means
    18.0
    """
    check_pair(real, generated)
    check_level(level)
    if min(len(real), len(generated)) < 2:
        raise ValueError(f"a Frechet distance needs 2 rows on each side, but got {len(real)} and {len(generated)}")
    if interval == "influence":
        point, limits = _influence_interval(real, generated, level)
    elif interval in ("bootstrap", "percentile (does not cover)"):
        point, limits = _bootstrap_interval(real, generated, level, interval, replicates, seed)
    else:
        raise ValueError(f'interval must be "influence", "bootstrap" or "percentile (does not cover)", got {interval=}')
    return MetricResult(
        name=f"fd_{real.extractor}",
        point=point,
        low=limits.low,
        high=limits.high,
        level=level,
        interval=limits.method,
        n=counts(real, generated),
        extractor=real.extractor,
        direction="lower",
        note=_note(real, generated),
    )


register(
    Metric(
        name="fd",
        direction="lower",
        on="features",
        on_itself=0.0,
        bounds=(0.0, np.inf),
        symmetric=True,
        unbiased=False,
        measure=frechet_distance,
    )
)


@on_one_thread
def frechet_value(real: Float64[np.ndarray, "n d"], generated: Float64[np.ndarray, "m d"]) -> float:
    """Return |mu1 - mu2|^2 + Tr S1 + Tr S2 - 2 Tr sqrt(S1 S2)."""
    x, y = real - real.mean(0), generated - generated.mean(0)
    (_, x_factor), (_, y_factor) = _factor(x), _factor(y)
    norm = np.linalg.svd(x_factor @ y_factor.T, compute_uv=False).sum()
    difference = real.mean(0) - generated.mean(0)
    spread = float((x**2).sum()) / (len(x) - 1) + float((y**2).sum()) / (len(y) - 1)
    return _above_rounding(
        float(difference @ difference), spread, float(norm / np.sqrt((len(x) - 1.0) * (len(y) - 1.0)))
    )


@on_one_thread
def frechet_influence(real: Float64[np.ndarray, "n d"], generated: Float64[np.ndarray, "m d"]) -> Influence:
    """Return the distance and each row's influence on it, from one singular value decomposition.

    For a generated row c (centered): 2 delta.c + |c|^2 n/(n-1) - Tr S - (q - F), where F = Tr sqrt(S1 S2)
    and q = n (V s V')_jj / sqrt((n1 - 1)(n2 - 1)) from the decomposition U s V' of X Y'.
    """
    delta = generated.mean(0) - real.mean(0)
    x, y = real - real.mean(0), generated - generated.mean(0)
    (x_basis, x_factor), (y_basis, y_factor) = _factor(x), _factor(y)
    left, values, right = np.linalg.svd(x_factor @ y_factor.T, full_matrices=False)
    values = values / np.sqrt((len(x) - 1.0) * (len(y) - 1.0))
    left, right = _lift(x_basis, left), _lift(y_basis, right.T)
    spread = float((x**2).sum()) / (len(x) - 1) + float((y**2).sum()) / (len(y) - 1)
    return Influence(
        point=_above_rounding(float(delta @ delta), spread, float(values.sum())),
        real=_side_influence(x, -delta, left**2 @ values, float(values.sum())),
        generated=_side_influence(y, delta, right**2 @ values, float(values.sum())),
    )


def _side_influence(
    centered: Float64[np.ndarray, "n d"],
    delta: Float64[np.ndarray, " d"],
    share: Float64[np.ndarray, " n"],
    root: float,
) -> Float64[np.ndarray, " n"]:
    n = len(centered)
    squares = (centered**2).sum(1) * n / (n - 1)
    influence = 2 * centered @ delta + (squares - squares.mean()) - (n * share - root)
    return np.asarray(influence, dtype=np.float64)


def _factor(
    centered: Float64[np.ndarray, "n d"],
) -> tuple[Float64[np.ndarray, "n r"] | None, Float64[np.ndarray, "r d"]]:
    if len(centered) <= centered.shape[1]:
        return None, centered
    basis, triangle = np.linalg.qr(centered)
    return basis, triangle


def _lift(basis: Float64[np.ndarray, "n r"] | None, vectors: Float64[np.ndarray, "r k"]) -> Float64[np.ndarray, "n k"]:
    return vectors if basis is None else basis @ vectors


def _above_rounding(difference: float, spread: float, root: float) -> float:
    """Add the terms; a sum below the rounding of its parts is zero."""
    value = difference + spread - 2 * root
    return 0.0 if abs(value) <= 1e-13 * (difference + spread) else value


def _influence_interval(real: FeatureSet, generated: FeatureSet, level: float) -> tuple[float, Interval]:
    influence = frechet_influence(real.rows, generated.rows)
    error = influence.error(real, generated)
    method = "FD at this n -+ t x influence-function error summed per patient"
    return influence.point, symmetric_interval(influence.point, error, level=level, method=method)


def _bootstrap_interval(
    real: FeatureSet, generated: FeatureSet, level: float, interval: FrechetInterval, replicates: int, seed: int
) -> tuple[float, Interval]:
    generator = np.random.default_rng(seed)
    real_draws = resample_patients(real.groups, replicates=replicates, generator=generator)
    generated_draws = resample_patients(generated.groups, replicates=replicates, generator=generator)
    values = frechet_replicates(real.rows, generated.rows, real_draws, generated_draws)
    point = frechet_value(real.rows, generated.rows)
    if interval == "bootstrap":
        freedom = min(number_groups(real.groups)[1], number_groups(generated.groups)[1]) - 1
        error = StandardError(float(values.std(ddof=1)), float(freedom))
        method = f"FD at this n -+ t x sd of {replicates} replicates, whole patients resampled on both sides"
        return point, symmetric_interval(point, error, level=level, method=method)
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
    method = f"percentiles of {replicates} replicates: DOES NOT COVER, the bias is added once more by resampling"
    return point, Interval(float(low), float(high), method)


def _note(real: FeatureSet, generated: FeatureSet) -> str:
    fewest = min(len(real), len(generated))
    if fewest >= real.width:
        return BIASED
    return f"{BIASED}; {fewest} images do not span {real.width} features, so the distance of the populations is unseen"
