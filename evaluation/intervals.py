"""Intervals that count patients, not slices: whole patients are resampled, influence is summed per patient."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from scipy import special

MeanInterval = Literal["percentile", "normal"]


@dataclass(frozen=True)
class StandardError:
    """A standard error and the degrees of freedom of its t distribution."""

    value: float
    freedom: float


@dataclass(frozen=True)
class Interval:
    """Both ends, and in words how they were made."""

    low: float
    high: float
    method: str


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, but got {level=}")


def number_groups(groups: Shaped[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " n"], int]:
    """Renumber the patients 0, 1, ... and count them; one patient alone says nothing about others and is refused."""
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"an interval needs at least 2 patients, but got {len(names)}; add patients")
    return index.astype(np.int64), len(names)


def cluster_error(influence: Float64[np.ndarray, " n"], groups: Shaped[np.ndarray, " n"]) -> StandardError:
    """Return the standard error of a statistic from each row's influence on it, summed per patient.

    With one row per patient it is the infinitesimal jackknife, `sqrt(sum IF^2 / (n (n-1)))`.
    """
    index, patients = number_groups(groups)
    sums = np.bincount(index, weights=influence - influence.mean(), minlength=patients)
    variance = patients / (patients - 1) * float(sums @ sums) / len(influence) ** 2
    return StandardError(float(np.sqrt(variance)), float(patients - 1))


def combine_errors(first: StandardError, second: StandardError) -> StandardError:
    """Add two independent errors; the degrees of freedom follow Welch and Satterthwaite."""
    a, b = first.value**2, second.value**2
    if a + b == 0:
        return StandardError(0.0, min(first.freedom, second.freedom))
    freedom = (a + b) ** 2 / (a**2 / first.freedom + b**2 / second.freedom)
    return StandardError(float(np.sqrt(a + b)), freedom)


def symmetric_interval(point: float, error: StandardError, *, level: float, method: str) -> Interval:
    """Return point -+ t x error."""
    check_level(level)
    reach = float(special.stdtrit(error.freedom, 0.5 + level / 2)) * error.value
    return Interval(point - reach, point + reach, method)


def resample_patients(
    groups: Shaped[np.ndarray, " n"], *, replicates: int, generator: np.random.Generator
) -> Float64[np.ndarray, "b n"]:
    """Return how often each row appears when whole patients are drawn with replacement."""
    index, patients = number_groups(groups)
    if replicates < 2:
        raise ValueError(f"replicates must be at least 2, but got {replicates=}")
    drawn = generator.integers(0, patients, (replicates, patients))
    return count_draws(drawn, patients)[:, index]


def count_draws(drawn: Int64[np.ndarray, "b m"], patients: int) -> Float64[np.ndarray, "b g"]:
    """Count in each row how often each patient was drawn."""
    shifted = drawn + patients * np.arange(len(drawn))[:, None]
    return np.bincount(shifted.ravel(), minlength=len(drawn) * patients).reshape(len(drawn), patients).astype(float)


def mean_interval(
    scores: Float64[np.ndarray, " n"],
    groups: Shaped[np.ndarray, " n"],
    *,
    level: float = 0.95,
    method: MeanInterval = "percentile",
    replicates: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return an interval for the mean score over images, from resampling whole patients."""
    check_level(level)
    index, patients = number_groups(groups)
    generator = np.random.default_rng(seed)
    draws = count_draws(generator.integers(0, patients, (replicates, patients)), patients)
    sums = np.bincount(index, weights=scores, minlength=patients)
    sizes = np.bincount(index, minlength=patients).astype(float)
    means = (draws @ sums) / (draws @ sizes)
    words = f"{replicates} resamples of {patients} patients"
    if method == "normal":
        reach = _widened_t(patients, level) * float(means.std(ddof=1))
        return Interval(float(scores.mean()) - reach, float(scores.mean()) + reach, f"mean -+ t x sd of {words}")
    return Interval(*expanded_percentiles(means, patients, level=level), f"expanded percentiles of {words}")


def expanded_percentiles(
    replicates: Float64[np.ndarray, " b"], patients: int, *, level: float = 0.95
) -> tuple[float, float]:
    """Return percentiles a little further out than ``level`` says, so that few patients are not taken for many.

    They are the expanded percentiles of Hesterberg 2015, "What Teachers Should Know About the Bootstrap".
    """
    t = _widened_t(patients, level)
    low, high = np.quantile(replicates, [float(special.ndtr(-t)), float(special.ndtr(t))])
    return float(low), float(high)


def _widened_t(patients: int, level: float) -> float:
    """Return Student's quantile, widened as a resample's spread is too small by sqrt((n - 1) / n)."""
    return float(special.stdtrit(patients - 1, 0.5 + level / 2) * np.sqrt(patients / (patients - 1)))


def proportion_interval(
    hits: Float64[np.ndarray, " n"], groups: Shaped[np.ndarray, " n"], *, level: float = 0.95
) -> Interval:
    """Return Wilson's interval at the number of images that the patients are worth.

    A share of exactly 0 or 1 keeps a width: there each patient counts as one observation.
    """
    check_level(level)
    _, patients = number_groups(groups)
    share, n = float(hits.mean()), len(hits)
    error = cluster_error(hits, groups).value
    worth = min(n, share * (1 - share) / error**2) if error > 0 else patients
    z = float(special.stdtrit(patients - 1, 0.5 + level / 2))
    center = (share + z**2 / (2 * worth)) / (1 + z**2 / worth)
    reach = z / (1 + z**2 / worth) * float(np.sqrt(share * (1 - share) / worth + z**2 / (4 * worth**2)))
    low, high = min(share, center - reach), max(share, center + reach)
    return Interval(low, high, "Wilson at the effective number of images, from the error summed per patient")
