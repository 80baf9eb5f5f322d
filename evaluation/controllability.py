"""Does a model give what it was asked for? Requested numbers against those measured on the samples."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Shaped

from evaluation.intervals import check_level, count_draws, expanded_percentiles, number_groups
from evaluation.types import Direction, MetricResult

Sums = Float64[np.ndarray, "b 7"]
Statistic = Callable[[Sums], Float64[np.ndarray, " b"]]
FEWEST = 3
CONSTANT = 1e-12  # of the mean square, below which a variance is rounding


def controllability(
    requested: Float64[np.ndarray, " n"],
    realized: Float64[np.ndarray, " n"],
    *,
    groups: Shaped[np.ndarray, " n"] | None = None,
    of: str = "",
    note: str | None = None,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[MetricResult, ...]:
    """Return how realized numbers follow the requested ones: correlation, slope, bias and mean absolute error.

    The slope is that of least squares, 1 where what is given grows as fast as what is asked for; the bias is the mean
    of realized minus requested, 0 at best. A correlation alone does not see the scale. The intervals are percentiles
    over resampled groups, drawn with requests and results together, and read a little further out as ``mean_interval``
    does. They speak of this model; another training would differ by more. Where the requests are all alike there is no
    slope, and where either side is, no correlation: these are NaN, and without interval where a resample's are.

    Args:
        requested: what each sample was asked to have, e.g. mm^2 of lesion.
        realized: what was measured on it, in the same unit.
        groups: the patient of each row; by default each row stands for itself, as samples do.
        of: what is asked for; it ends the names of the results.
        note: said beside each result.
        level: confidence.
        replicates: resamples.
        seed: of the resampling.
    """
    _check(requested, realized, level, replicates)
    index, count = number_groups(np.arange(len(requested)) if groups is None else groups)
    sums = _sum_groups(requested, realized, index, count)
    drawn = count_draws(np.random.default_rng(seed).integers(0, count, (replicates, count)), count) @ sums
    shift = float(realized.mean() - requested.mean())  # the sums are of what is left without both means
    rivals: tuple[tuple[str, Direction | None, str | None, Statistic], ...] = (
        ("correlation", "higher", None, _correlation),
        ("slope", None, "best at 1", _slope),
        ("bias", None, "best at 0", lambda sums: _bias(sums) + shift),
        ("absolute_error", "lower", None, lambda sums: sums[..., 6] / sums[..., 0]),
    )
    results = []
    for name, direction, best, statistic in rivals:
        limits = expanded_percentiles(statistic(drawn), count, level=level)
        known = bool(np.isfinite(limits).all())
        words = (
            f"expanded percentiles of {replicates} resamples of {count} {'samples' if groups is None else 'patients'}"
        )
        results.append(
            MetricResult(
                name=name_control(name, of),
                point=float(statistic(sums.sum(0, keepdims=True))[0]),
                low=limits[0] if known else None,
                high=limits[1] if known else None,
                level=level,
                interval=words if known else "none: in some resamples all numbers of a side are alike",
                n={"generated": len(requested)} if groups is None else {"slices": len(requested), "patients": count},
                extractor=None,
                direction=direction,
                note="; ".join(word for word in (best, note) if word) or None,
            )
        )
    return tuple(results)


def withhold_control(of: str, reason: str, *, level: float = 0.95) -> MetricResult:
    """Return a correlation that is not given, with the reason in words: "refused: ..."."""
    interval = f"refused: {reason}"
    return MetricResult(name_control("correlation", of), float("nan"), None, None, level, interval, {}, None, "higher")


def name_control(statistic: str, of: str) -> str:
    """Return the name of a result, such as ``control_slope_volume``."""
    return "_".join(word for word in ("control", statistic, of) if word)


def _sum_groups(
    requested: Float64[np.ndarray, " n"],
    realized: Float64[np.ndarray, " n"],
    index: Shaped[np.ndarray, " n"],
    count: int,
) -> Sums:
    """Return per group the sums of 1, x, y, x x, y y, x y and |y - x|; x and y without their means, but in the last."""
    x, y = requested - requested.mean(), realized - realized.mean()
    columns = (np.ones_like(x), x, y, x * x, y * y, x * y, np.abs(realized - requested))
    return np.stack([np.bincount(index, weights=each, minlength=count) for each in columns], axis=-1)


def _moments(sums: Sums) -> tuple[Float64[np.ndarray, " b"], ...]:
    """Return the variances of both sides, NaN where a side is constant, and their covariance."""
    n, x, y, xx, yy, xy, _ = np.moveaxis(sums, -1, 0)
    spreads = []
    for total, squares in ((x, xx), (y, yy)):
        spread = squares / n - (total / n) ** 2
        spreads.append(np.where(spread <= CONSTANT * squares / n, np.nan, spread))
    return spreads[0], spreads[1], xy / n - x * y / n**2


def _correlation(sums: Sums) -> Float64[np.ndarray, " b"]:
    asked, found, together = _moments(sums)
    return np.asarray(np.clip(together / np.sqrt(asked * found), -1, 1))


def _slope(sums: Sums) -> Float64[np.ndarray, " b"]:
    asked, _, together = _moments(sums)
    return np.asarray(together / asked)


def _bias(sums: Sums) -> Float64[np.ndarray, " b"]:
    return np.asarray((sums[..., 2] - sums[..., 1]) / sums[..., 0])


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
