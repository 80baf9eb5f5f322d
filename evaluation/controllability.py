"""Does a model give what it was asked for? Requested numbers against those measured on the samples."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from evaluation.intervals import check_level
from evaluation.types import Direction, MetricResult

Statistic = Callable[[Float64[np.ndarray, "*b n"], Float64[np.ndarray, "*b n"]], Float64[np.ndarray, "*b"]]
FEWEST = 3
LARGEST_BLOCK = 1 << 22  # numbers resampled at a time


def controllability(
    requested: Float64[np.ndarray, " n"],
    realized: Float64[np.ndarray, " n"],
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[MetricResult, MetricResult, MetricResult]:
    """Return Pearson's correlation, the mean absolute error and the bias (realized minus requested).

    Each interval holds the percentiles over resampled samples, drawn in pairs (Efron & Tibshirani 1993, sec. 13.3).
    It speaks of this model; another training would differ by more. The correlation is NaN where either side is
    constant, and its interval where a resample is.

    Args:
        requested: what each sample was asked to have, e.g. mm^2 of lesion.
        realized: what was measured on it, in the same unit.
        level: confidence.
        replicates: resamples.
        seed: of the resampling.
    """
    _check(requested, realized, level, replicates)
    drawn = np.random.default_rng(seed).integers(0, len(requested), (replicates, len(requested)))
    rivals: tuple[tuple[str, Direction, Statistic], ...] = (
        ("control_correlation", "higher", correlation),
        ("control_absolute_error", "lower", lambda asked, found: np.abs(found - asked).mean(-1)),
        ("control_bias", "lower", lambda asked, found: (found - asked).mean(-1)),
    )
    return tuple(  # type: ignore[return-value]  # three rivals, three results
        _measure(name, direction, statistic, requested, realized, drawn, level) for name, direction, statistic in rivals
    )


def correlation(one: Float64[np.ndarray, "*b n"], other: Float64[np.ndarray, "*b n"]) -> Float64[np.ndarray, "*b"]:
    """Return Pearson's r over the last axis; NaN where one side is constant."""
    a, b = one - one.mean(-1, keepdims=True), other - other.mean(-1, keepdims=True)
    is_constant = (np.ptp(one, axis=-1) == 0) | (np.ptp(other, axis=-1) == 0)
    scale = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return np.where(is_constant, np.nan, np.clip((a * b).sum(-1) / np.where(is_constant, 1.0, scale), -1, 1))


def _measure(
    name: str,
    direction: Direction,
    statistic: Statistic,
    requested: Float64[np.ndarray, " n"],
    realized: Float64[np.ndarray, " n"],
    drawn: np.ndarray,
    level: float,
) -> MetricResult:
    blocks = np.array_split(drawn, -(-drawn.size // LARGEST_BLOCK))
    values = np.concatenate([statistic(requested[block], realized[block]) for block in blocks])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return MetricResult(
        name=name,
        point=float(statistic(requested, realized)),
        low=float(low),
        high=float(high),
        level=level,
        interval=f"percentiles of {len(drawn)} resamples of {len(requested)} samples",
        n={"generated": len(requested)},
        extractor=None,
        direction=direction,
        note="best at 0" if name == "control_bias" else None,
    )


def _check(
    requested: Float64[np.ndarray, " n"], realized: Float64[np.ndarray, " n"], level: float, replicates: int
) -> None:
    check_level(level)
    if len(requested) != len(realized) or len(requested) < FEWEST:
        raise ValueError(
            f"each of at least {FEWEST} samples needs both numbers, but got {len(requested)=} and {len(realized)=}"
        )
    if not (np.isfinite(requested).all() and np.isfinite(realized).all()):
        raise ValueError("requested and realized numbers must be finite, but some are not; leave unknown ones out")
    if replicates < 2:
        raise ValueError(f"replicates must be at least 2, but got {replicates=}")
