"""Differences of precision, recall, density and coverage, with the error of the manifolds themselves.

A row's score depends on the whole other side, so an interval that holds the manifolds fixed is too narrow
(coverage 0.76 to 0.97 measured where the models differ). Here groups of patients, and of samples, are left out
in turn on both sides; by Efron & Stein 1981 ("The Jackknife Estimate of Variance") such an error is too wide
on average, never too narrow.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped
from scipy.spatial.distance import cdist

from evaluation.difference import Difference, Pair, check_listed_alike, count_sides
from evaluation.intervals import StandardError, combine_errors, number_groups
from evaluation.manifold import NEIGHBORS, OVER, manifold_scores
from evaluation.types import FeatureSet

MOST_FOLDS = 20


@dataclass(frozen=True, eq=False)
class Distances:
    """Squared distances between and within a real and a generated set."""

    across: Float64[np.ndarray, "n m"]
    real: Float64[np.ndarray, "n n"]
    generated: Float64[np.ndarray, "m m"]

    def keep(self, real: Bool[np.ndarray, " n"], generated: Bool[np.ndarray, " m"]) -> "Distances":
        """Return the distances among some of the rows."""
        return Distances(
            self.across[np.ix_(real, generated)],
            self.real[np.ix_(real, real)],
            self.generated[np.ix_(generated, generated)],
        )


def compare_manifolds(
    real: FeatureSet,
    first: FeatureSet,
    second: FeatureSet,
    *,
    paired: bool,
    level: float = 0.95,
    labels: tuple[str, str] = ("first", "second"),
    neighbors: int = NEIGHBORS,
) -> tuple[Difference, ...]:
    """Return the difference of each manifold score; where `paired`, samples of the same noise are left out together."""
    pair = Pair(
        "", "higher", labels, count_sides(real, first, second), level, paired, real.extractor, f"{neighbors} neighbors"
    )
    pairs = [replace(pair, name=f"{name}_{real.extractor}") for name in OVER]
    if np.array_equal(first.rows, second.rows):
        return tuple(each.identical() for each in pairs)
    scores = [manifold_scores(real.rows, each.rows, neighbors=neighbors) for each in (first, second)]
    points = [float(getattr(scores[0], name).mean() - getattr(scores[1], name).mean()) for name in OVER]
    fewest = min(_fewest_kept(each) for each in (real, first, second))
    if fewest <= neighbors:
        reason = f"{fewest} rows are left where a group is left out, and {neighbors} neighbors need more"
        return tuple(each.unknown(point, reason) for each, point in zip(pairs, points, strict=True))
    errors = _errors(real, first, second, paired=paired, neighbors=neighbors)
    method = "difference -+ t x error from leaving out groups of patients and of samples in turn; rather too wide"
    return tuple(
        each.differ(point, _with_width(error, real), method)
        for each, point, error in zip(pairs, points, errors, strict=True)
    )


def _errors(
    real: FeatureSet, first: FeatureSet, second: FeatureSet, *, paired: bool, neighbors: int
) -> list[StandardError]:
    """Return the error of each difference: the patients' part, which both models share, and the samples'."""
    within = cdist(real.rows, real.rows, "sqeuclidean")
    sides = [
        Distances(cdist(real.rows, each.rows, "sqeuclidean"), within, cdist(each.rows, each.rows, "sqeuclidean"))
        for each in (first, second)
    ]
    patients = [_leave_out(side, real.groups, None, neighbors) for side in sides]
    samples = [
        _leave_out(side, None, each.groups, neighbors) for side, each in zip(sides, (first, second), strict=True)
    ]
    shared = _jackknife(patients[0] - patients[1])
    if paired:
        check_listed_alike(first, second)
    own = [_jackknife(samples[0] - samples[1])] if paired else [_jackknife(each) for each in samples]
    together = shared
    for part in own:
        together = [combine_errors(a, b) for a, b in zip(together, part, strict=True)]
    return together


def _leave_out(
    distances: Distances,
    real: Shaped[np.ndarray, " n"] | None,
    generated: Shaped[np.ndarray, " m"] | None,
    neighbors: int,
) -> Float64[np.ndarray, "f 4"]:
    """Return all scores as each fold of whole groups is left out on the side whose groups are given."""
    groups = real if real is not None else generated
    assert groups is not None, "one side is cut"
    index, folds = fold_groups(groups)
    everyone = [np.ones(size, dtype=bool) for size in distances.across.shape]
    rows = []
    for fold in range(folds):
        kept = index != fold
        part = distances.keep(kept, everyone[1]) if real is not None else distances.keep(everyone[0], kept)
        rows.append(_means(part, neighbors))
    return np.array(rows)


def fold_groups(groups: Shaped[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " n"], int]:
    """Deal whole groups into at most 20 folds, in turn."""
    index, count = number_groups(groups)
    folds = min(count, MOST_FOLDS)
    return index % folds, folds


def _fewest_kept(features: FeatureSet) -> int:
    index, _ = fold_groups(features.groups)
    return len(index) - int(np.bincount(index).max())


def _means(distances: Distances, neighbors: int) -> list[float]:
    """Return precision, recall, density and coverage."""
    real_radii = np.partition(distances.real, neighbors, axis=1)[:, neighbors]
    generated_radii = np.partition(distances.generated, neighbors, axis=1)[:, neighbors]
    near_real = distances.across < real_radii[:, None]
    near_generated = distances.across < generated_radii[None, :]
    shares = near_real.any(0).mean(), near_generated.any(1).mean()
    return [*map(float, shares), float(near_real.sum(0).mean()) / neighbors, float(near_real.any(1).mean())]


def _jackknife(left_out: Float64[np.ndarray, "f 4"]) -> list[StandardError]:
    """Return sqrt((f - 1) / f sum (value - mean)^2) of each column."""
    folds = len(left_out)
    squares = ((left_out - left_out.mean(0)) ** 2).sum(0)
    return [StandardError(float(np.sqrt((folds - 1) / folds * each)), folds - 1.0) for each in squares]


def _with_width(error: StandardError, real: FeatureSet) -> StandardError:
    """Keep a width where both shares are 0 or 1 in every fold: there each patient counts as one observation."""
    return error if error.value > 0 else StandardError(1 / real.patients, real.patients - 1.0)
