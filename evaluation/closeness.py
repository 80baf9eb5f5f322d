"""How near a row comes to the training rows, in units of how near another patient comes there."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from evaluation.intervals import number_groups
from evaluation.types import FeatureSet

Calibration = Literal["held-out", "held-out and training"]
BLOCK = 1024  # rows of the distance matrix held at once
NOBODY = -1  # stands where no patient is left out


@dataclass(frozen=True, eq=False)
class Nearest:
    """The training row nearest to each query, and its distance."""

    row: Int64[np.ndarray, " n"]
    distance: Float64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Closeness:
    """The nearest training row of each query, its distance, and that distance in units of the spacing there.

    The spacing is the distance from that training row to the nearest training row of another patient.
    """

    row: Int64[np.ndarray, " n"]
    distance: Float64[np.ndarray, " n"]
    ratio: Float64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Reference:
    """Ratios of slices that are no copies, and their patients, numbered from 0."""

    ratio: Float64[np.ndarray, " m"]
    groups: Int64[np.ndarray, " m"]

    @property
    def patients(self) -> int:
        """Count the patients."""
        return int(self.groups.max()) + 1


@runtime_checkable
class Neighbors(Protocol):
    """Find the nearest training rows, in whatever space they lie."""

    def patients(self) -> Int64[np.ndarray, " t"]:
        """Return the patient of each training row, numbered from 0."""
        ...

    def take(self, rows: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n *shape"]:
        """Return training rows as queries."""
        ...

    def nearest(self, queries: Float64[np.ndarray, "n *shape"], barred: Bool[np.ndarray, "n t"]) -> Nearest:
        """Return the nearest training row of each query that is not barred for it."""
        ...


@dataclass(frozen=True, eq=False)
class FeatureNeighbors:
    """Training rows compared by the Euclidean distance of their features."""

    train: FeatureSet

    def patients(self) -> Int64[np.ndarray, " t"]:
        """Return the patient of each training row, numbered from 0."""
        return number_patients("training", self.train.groups)

    def take(self, rows: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n d"]:
        """Return the features of training rows."""
        return np.asarray(self.train.rows[rows])

    def nearest(self, queries: Float64[np.ndarray, "n d"], barred: Bool[np.ndarray, "n t"]) -> Nearest:
        """Find the rows by a matrix product, then their distances without its rounding: equal rows are at 0."""
        center = self.train.rows.mean(0)  # distances from a matrix product lose digits to a common offset
        rows = self.train.rows - center
        lengths = (rows**2).sum(1)
        found = [
            np.where(bars, np.inf, lengths - 2 * (block - center) @ rows.T).argmin(1)
            for block, bars in zip(_blocks(queries), _blocks(barred), strict=True)
        ]
        row = np.concatenate(found).astype(np.int64)
        return Nearest(row, np.asarray(np.linalg.norm(queries - self.train.rows[row], axis=1)))


def closeness(
    neighbors: Neighbors, queries: Float64[np.ndarray, "n *shape"], *, left_out: Int64[np.ndarray, " n"] | None = None
) -> Closeness:
    """Return the closeness of each query to the training patients without the one left out for it.

    Where two patients share one row, its spacing is 0: the same row again gets the ratio 1, for it
    tells nothing of either patient, and any other row gets an infinite one.
    """
    patients = neighbors.patients()
    absent = np.full(len(queries), NOBODY) if left_out is None else left_out
    own = patients[None, :] == absent[:, None]
    found = neighbors.nearest(queries, own)
    spacing = neighbors.nearest(neighbors.take(found.row), own | (patients[None, :] == patients[found.row][:, None]))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = found.distance / spacing.distance
    ratio[(found.distance == 0) & (spacing.distance == 0)] = 1.0
    return Closeness(found.row, found.distance, ratio)


def gather_reference(
    neighbors: Neighbors,
    held_out: Float64[np.ndarray, "h *shape"],
    groups: Shaped[np.ndarray, " h"],
    calibration: Calibration,
) -> Reference:
    """Return the closeness of slices that cannot be copies.

    With "held-out and training" each training patient is left out in turn and held against the other
    training patients: nearly a patient unseen, and there are many more of them.
    """
    ratio = closeness(neighbors, held_out).ratio
    if calibration == "held-out":
        return Reference(ratio, number_patients("held-out", groups))
    index = np.unique(groups, return_inverse=True)[1]
    patients = neighbors.patients()
    if patients.max() < 2:
        raise ValueError(f"training patients held against each other must be 3 or more, but got {patients.max() + 1}")
    within = closeness(neighbors, neighbors.take(np.arange(len(patients))), left_out=patients).ratio
    return Reference(np.concatenate([ratio, within]), np.concatenate([index, patients + index.max() + 1]))


def number_patients(part: str, groups: Shaped[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Give the patients numbers from 0; fewer than 2 are refused."""
    if len(np.unique(groups)) < 2:
        raise ValueError(f"an audit needs at least 2 {part} patients, but got {len(np.unique(groups))}; add patients")
    return number_groups(groups)[0]


def _blocks(rows: Shaped[np.ndarray, "n *shape"]) -> list[Shaped[np.ndarray, "b *shape"]]:
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
