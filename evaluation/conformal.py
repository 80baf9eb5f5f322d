"""Rank-based p-values where patients, not slices, are exchangeable; which of many to name; an exact interval."""

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from scipy import special

from evaluation.intervals import Interval, check_level, number_groups


def lower_p_values(
    scores: Float64[np.ndarray, " n"], reference: Float64[np.ndarray, " m"], groups: Shaped[np.ndarray, " m"]
) -> Float64[np.ndarray, " n"]:
    """Return for each score the p-value of being so low, held against reference patients of equal weight.

    p = (1 + sum over patients of the share of their slices at or below the score) / (patients + 1).
    A slice of one more such patient has p <= a with probability a at most: its own patient would add
    a share of its slices, and 1 is put in the place of that (Lee, Barber, Willett 2023, "Distribution-free
    inference with hierarchical data", hierarchical conformal prediction).
    """
    _, index = np.unique(groups, return_inverse=True)
    patients = int(index.max()) + 1
    order = np.argsort(reference, kind="stable")
    weights = 1 / np.bincount(index, minlength=patients)[index]
    shares = np.concatenate([[0.0], np.cumsum(weights[order])])
    below = np.searchsorted(reference[order], scores, side="right")
    return np.asarray((1 + shares[below]) / (patients + 1))


def left_out_p_values(
    reference: Float64[np.ndarray, " m"], groups: Shaped[np.ndarray, " m"]
) -> Float64[np.ndarray, " m"]:
    """Return the p-values of each reference patient's slices, held against the other reference patients."""
    index, patients = number_groups(groups)
    values = np.empty(len(reference))
    for patient in range(patients):
        own = index == patient
        values[own] = lower_p_values(reference[own], reference[~own], index[~own])
    return values


def smallest_p_value(patients: int) -> float:
    """Return the p-value of a score below all slices of so many reference patients."""
    return 1 / (patients + 1)


def discoveries(p_values: Float64[np.ndarray, " n"], *, false_discovery: float = 0.05) -> Bool[np.ndarray, " n"]:
    """Say which may be named so that the expected share of wrong names stays below this.

    Benjamini & Hochberg 1995; for p-values that share one reference set: Bates et al. 2023,
    "Testing for outliers with conformal p-values", theorem 2.
    """
    check_share("false_discovery", false_discovery)
    ordered = np.sort(p_values)
    allowed = false_discovery * np.arange(1, len(ordered) + 1) / len(ordered)
    passing = ordered[ordered <= allowed]
    return np.asarray(p_values <= (passing[-1] if len(passing) else -1.0))


def exact_interval(hits: int, n: int, *, level: float = 0.95) -> Interval:
    """Return the interval of Clopper and Pearson (1934) for the share behind `hits` of `n` independent rows."""
    check_level(level)
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"hits must lie between 0 and n, and n above 0, but got {hits=}, {n=}")
    tail = (1 - level) / 2
    low = float(special.betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return Interval(low, high, f"exact (Clopper-Pearson) over {n} independent rows")


def chance_limit(threshold: float, patients: int, *, level: float = 0.95) -> float:
    """Return how large a share p <= threshold may become for new patients by the luck of the reference patients.

    Given the reference patients, the share is Beta(k, patients + 1 - k) with k = threshold (patients + 1)
    when a patient's slices are alike, and less spread out when they differ (Vovk 2012, "Conditional
    validity of inductive conformal predictors"). The limit is its upper end at this two-sided level.
    """
    check_level(level)
    check_share("threshold", threshold)
    ranks = max(1.0, threshold * (patients + 1))
    return float(special.betaincinv(ranks, patients + 1 - ranks, 0.5 + level / 2))


def check_share(name: str, value: float) -> None:
    """Refuse a share outside (0, 1)."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, but got {name}={value}")
