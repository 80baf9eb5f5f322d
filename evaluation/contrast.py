"""SC-FD: the Frechet distance of the populations where the spectrum is seen in part, 0.25 d <= n < 0.8 d.

Both samples are split in halves of whole patients. What the unseen tail takes from F(X, Y) it takes
from F(X, X') and F(Y, Y') too, and those should be the traces, which are known without bias. So
rho = F(X, Y) / sqrt(F(X, X') F(Y, Y')) needs no tail, and is 1 on average where the laws agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from evaluation.debiased import mean_gap
from evaluation.fidelity import Fidelity, Side, debiased_fidelity, measure_side
from evaluation.influence import Influence
from evaluation.intervals import cluster_error, number_groups
from evaluation.single_thread import on_one_thread
from evaluation.types import Array, FeatureSet

SPLITS = 8
GRID = 72


@dataclass(frozen=True, eq=False)
class _Contrast:
    """F within the real side, within the generated side and across, each with its influence on both sides."""

    values: Float64[np.ndarray, " 3"]
    real: Float64[np.ndarray, "3 n"]
    generated: Float64[np.ndarray, "3 m"]


@on_one_thread
def contrast_influence(real: FeatureSet, generated: FeatureSet, *, splits: int = SPLITS, seed: int = 0) -> Influence:
    """Return |m1 - m2|^2 + T1 + T2 - 2 sqrt(T1 T2) rho and each row's influence on it.

    Args:
        real: at least 4 patients.
        generated: at least 4 patients, or rows that stand for themselves.
        splits: over how many random halvings F is averaged; their remaining variance goes into the error.
        seed: of the halvings.
    """
    if splits < 2:
        raise ValueError(f"splits must be at least 2, but got {splits=}")
    first, second = measure_side(real.rows, real.groups), measure_side(generated.rows, generated.groups)
    generator = np.random.default_rng(seed)
    drawn = [_contrast(real, generated, generator) for _ in range(splits)]
    values = np.array([each.values for each in drawn])
    within, inside, across = values.mean(0)
    rho = float(across / np.sqrt(within * inside))
    scale = 2 * np.sqrt(first.trace * second.trace) * rho
    weights = np.array([-0.5 / within, -0.5 / inside, 1 / across])  # d rho / rho
    delta = generated.rows.mean(0) - real.rows.mean(0)
    shares = (
        1 - rho * np.sqrt(second.trace / first.trace),
        1 - rho * np.sqrt(first.trace / second.trace),
    )
    moves = -scale * (weights @ np.mean([each.real for each in drawn], 0))
    other_moves = -scale * (weights @ np.mean([each.generated for each in drawn], 0))
    return Influence(
        point=mean_gap(delta, first, second) + first.trace + second.trace - scale - _root_bias(first, second),
        real=_centered(moves + shares[0] * first.squares - 2 * first.rows @ delta),
        generated=_centered(other_moves + shares[1] * second.squares + 2 * second.rows @ delta),
        split_variance=float((scale * (values @ weights)).var(ddof=1)) / splits,
    )


def _contrast(real: FeatureSet, generated: FeatureSet, generator: np.random.Generator) -> _Contrast:
    x, y = list(_halve(real, generator)), list(_halve(generated, generator))
    values, on_real, on_generated = np.zeros(3), np.zeros((3, len(real))), np.zeros((3, len(generated)))
    pairs = ((0, x[0], x[1], 1.0), (1, y[0], y[1], 1.0), (2, x[0], y[0], 0.5), (2, x[1], y[1], 0.5))
    for kind, (rows, side), (other_rows, other_side), share in pairs:
        found: Fidelity = debiased_fidelity(side, other_side, grid=GRID)
        values[kind] += share * found.value
        target, other_target = (on_generated if kind == 1 else on_real), (on_real if kind == 0 else on_generated)
        # a fidelity moves by half of its influence, averaged over its half of the rows
        target[kind, rows] += share * found.first * target.shape[1] / len(rows) / 2
        other_target[kind, other_rows] += share * found.second * other_target.shape[1] / len(other_rows) / 2
    return _Contrast(values, on_real, on_generated)


def _halve(features: FeatureSet, generator: np.random.Generator) -> Iterator[tuple[Int64[np.ndarray, " h"], Side]]:
    """Give the rows of a random half of the patients, then those of the others."""
    index, patients = number_groups(features.groups)
    if patients < 4:
        raise ValueError(f"halves need at least 4 patients, but got {patients}; add patients")
    chosen = (generator.permutation(patients) < patients // 2)[index]
    for rows in (np.flatnonzero(chosen), np.flatnonzero(~chosen)):
        yield rows, measure_side(features.rows[rows], features.groups[rows])


def _root_bias(first: Side, second: Side) -> float:
    """Return what the roots of two estimated traces lack, `v / 4T` on each side."""
    return sum(cluster_error(side.squares, side.patients).value ** 2 / (4 * side.trace) for side in (first, second))


def _centered(influence: Array) -> Float64[np.ndarray, " n"]:
    return np.asarray(influence - influence.mean(), dtype=np.float64)
