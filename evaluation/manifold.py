"""Precision, recall, density and coverage: the shares of one set that lie on the other's neighbor manifold."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float64, Int64

from evaluation.intervals import Interval, cluster_error, number_groups, proportion_interval, symmetric_interval
from evaluation.metric import Metric, register
from evaluation.single_thread import single_thread
from evaluation.types import FeatureSet, MetricResult, check_pair, counts

NEIGHBORS = 5  # Naeem et al. 2020; torch-fidelity's precision uses 3


@dataclass(frozen=True)
class ManifoldScores:
    """One score per row of the side that each metric averages over."""

    precision: Float64[np.ndarray, " m"]
    recall: Float64[np.ndarray, " n"]
    density: Float64[np.ndarray, " m"]
    coverage: Float64[np.ndarray, " n"]


def precision_recall(
    real: FeatureSet, generated: FeatureSet, *, neighbors: int = NEIGHBORS, level: float = 0.95
) -> tuple[MetricResult, ...]:
    """Measure precision, recall, density and coverage from one set of distances."""
    check_pair(real, generated)
    scores = manifold_scores(real.rows, generated.rows, neighbors=neighbors)
    return tuple(_result(name, scores, real, generated, neighbors, level) for name in OVER)


OVER = {"precision": "generated", "recall": "real", "density": "generated", "coverage": "real"}


def _measure(
    name: str, real: FeatureSet, generated: FeatureSet, *, neighbors: int = NEIGHBORS, level: float = 0.95
) -> MetricResult:
    results = precision_recall(real, generated, neighbors=neighbors, level=level)
    return results[list(OVER).index(name)]


def _describe(name: str) -> Metric[FeatureSet]:
    measure: Callable[..., MetricResult] = partial(_measure, name)
    return Metric(
        name=name,
        direction="higher",
        on="features",
        on_itself=1.0,
        bounds=(0.0, np.inf if name == "density" else 1.0),
        symmetric=False,
        unbiased=False,
        measure=measure,
    )


for _name in OVER:
    register(_describe(_name))


def manifold_scores(
    real: Float64[np.ndarray, "n d"], generated: Float64[np.ndarray, "m d"], *, neighbors: int = NEIGHBORS
) -> ManifoldScores:
    """Score each row against the balls that reach from the other side's rows to their k-th neighbor.

    A ball holds what lies strictly inside it (Naeem et al. 2020). Products run on one thread, so that a
    distance equal to a radius falls on the same side however many there are.
    """
    fewest = min(len(real), len(generated))
    if not 0 < neighbors < fewest:
        raise ValueError(f"neighbors must lie between 1 and {fewest - 1} for {fewest} rows, but got {neighbors=}")
    center = real.mean(0)  # distances from a matrix product lose digits to a common offset
    x, y = real - center, generated - center
    with single_thread():
        across = _square_distances(x, y)
        inside_real = across < _radii(x, neighbors)[:, None]
        inside_generated = across < _radii(y, neighbors)[None, :]
    return ManifoldScores(
        precision=_as_scores(inside_real.any(0)),
        recall=_as_scores(inside_generated.any(1)),
        density=_as_scores(inside_real.sum(0)) / neighbors,
        coverage=_as_scores(inside_real.any(1)),
    )


def _as_scores(hits: object) -> Float64[np.ndarray, " n"]:
    return np.asarray(hits, dtype=np.float64)


def _radii(rows: Float64[np.ndarray, "n d"], neighbors: int) -> Float64[np.ndarray, " n"]:
    """Return each row's squared distance to its k-th neighbor, itself not counted."""
    within = _square_distances(rows, rows.copy())  # a matrix times itself rounds otherwise than two equal ones
    np.fill_diagonal(within, 0)
    return np.asarray(np.partition(within, neighbors, axis=1)[:, neighbors])


def _square_distances(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "n m"]:
    distances = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * (x @ y.T)
    return np.asarray(np.maximum(distances, 0))


def _result(
    name: str, scores: ManifoldScores, real: FeatureSet, generated: FeatureSet, neighbors: int, level: float
) -> MetricResult:
    values: Float64[np.ndarray, " n"] = getattr(scores, name)
    groups = real.groups if OVER[name] == "real" else generated.groups
    make = _density_interval if name == "density" else proportion_interval
    limits = make(values, groups, level=level)
    other = "real" if OVER[name] == "generated" else "generated"
    return MetricResult(
        name=f"{name}_{real.extractor}",
        point=float(values.mean()),
        low=limits.low,
        high=limits.high,
        level=level,
        interval=f"{limits.method}, the {other} manifold held fixed",
        n=counts(real, generated),
        extractor=real.extractor,
        direction="higher",
        note=f"{neighbors} neighbors",
    )


def _density_interval(values: Float64[np.ndarray, " n"], groups: Int64[np.ndarray, " n"], *, level: float) -> Interval:
    error = cluster_error(values, groups)
    method = f"mean -+ t x error summed over {number_groups(groups)[1]} patients"
    limits = symmetric_interval(float(values.mean()), error, level=level, method=method)
    return Interval(max(0.0, limits.low), limits.high, method)
