"""Are samples copies of training patients? The nearest training slice of each, judged by what other patients show."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from evaluation.closeness import Calibration, Closeness, FeatureNeighbors, Reference, closeness, gather_reference
from evaluation.conformal import (
    chance_limit,
    check_share,
    discoveries,
    exact_interval,
    left_out_p_values,
    lower_p_values,
    smallest_p_value,
)
from evaluation.intervals import Interval, proportion_interval
from evaluation.types import FeatureSet, check_pair, counts

THRESHOLD = 0.01


@dataclass(frozen=True)
class NearestPair:
    """A generated row, the training row nearest to it, and whether it may be called a copy by name."""

    generated: int
    train: int
    train_patient: int
    distance: float
    ratio: float
    p: float
    named: bool


@dataclass(frozen=True)
class MemorizationAudit:
    """How many samples lie nearer to a training slice than slices of other patients do.

    A row counts as a copy when its p is at most `threshold`. It is named when Benjamini and Hochberg
    allow it, with a share of wrong names below `false_discovery`.

    Args:
        space: the extractor, or "pixel".
        n: rows and patients of each side; "reference_patients" are those that the p-values count.
        copies: share of the generated rows that count as copies, with its exact interval.
        reference: the same share among the reference patients, each held against the others.
        chance: the largest share that the luck of the reference patients explains.
        authentic: share of generated rows with a ratio above 1 (Alaa et al. 2022, "How faithful is your
            synthetic data?"), and beside it that of the reference slices.
        pairs: one of each generated row, the most suspicious first.
    """

    space: str
    calibration: Calibration
    level: float
    false_discovery: float
    threshold: float
    n: dict[str, int]
    copies: float
    interval: Interval
    reference: float
    reference_interval: Interval
    chance: float
    authentic: float
    reference_authentic: float
    pairs: tuple[NearestPair, ...]

    @property
    def named(self) -> int:
        """Count the rows that are copies by name."""
        return sum(pair.named for pair in self.pairs)

    @property
    def smallest_p(self) -> float:
        """Return the p-value of a row nearer than all slices of the reference patients."""
        return smallest_p_value(self.n["reference_patients"])

    def power(self) -> str:
        """Say what so many reference patients can show."""
        words = f"{self.n['reference_patients']} reference patients reach p = {self.smallest_p:.2g} at best"
        needed = self.smallest_p / self.false_discovery
        if needed > 1:
            return f"{words}, too few to name a copy: that takes {math.ceil(1 / self.false_discovery) - 1}"
        return f"{words}: copies are named when at least {needed:.2g} of the samples are copies"

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that strict JSON can hold: an infinite ratio becomes its name."""
        pairs = [asdict(pair) | {"ratio": _plain(pair.ratio)} for pair in self.pairs]
        return asdict(self) | {"pairs": pairs, "named": self.named, "smallest_p": self.smallest_p}


def memorization(
    train: FeatureSet,
    held_out: FeatureSet,
    generated: FeatureSet,
    *,
    level: float = 0.95,
    false_discovery: float = 0.05,
    threshold: float = THRESHOLD,
    calibration: Calibration = "held-out",
) -> MemorizationAudit:
    """Search the features of one extractor for copies; the generator must not have seen the held-out patients."""
    check_pair(train, held_out)
    check_pair(train, generated)
    neighbors = FeatureNeighbors(train)
    return audit(
        closeness(neighbors, generated.rows),
        gather_reference(neighbors, held_out.rows, held_out.groups, calibration),
        space=train.extractor,
        patients=neighbors.patients(),
        n=counts(train, generated) | {"held_out": len(held_out), "held_out_patients": held_out.patients},
        level=level,
        false_discovery=false_discovery,
        threshold=threshold,
        calibration=calibration,
    )


def audit(
    found: Closeness,
    reference: Reference,
    *,
    space: str,
    patients: Int64[np.ndarray, " t"],
    n: dict[str, int],
    level: float,
    false_discovery: float,
    threshold: float,
    calibration: Calibration,
) -> MemorizationAudit:
    """Judge generated rows by the reference; a threshold that it cannot reach is raised to what it can."""
    check_share("threshold", threshold)
    p_values = lower_p_values(found.ratio, reference.ratio, reference.groups)
    reached = max(threshold, smallest_p_value(reference.patients))
    flagged = p_values <= reached
    share, interval = _reference_share(reference, threshold, level)
    named = discoveries(p_values, false_discovery=false_discovery)
    order = np.lexsort((found.ratio, p_values))
    return MemorizationAudit(
        space=space,
        calibration=calibration,
        level=level,
        false_discovery=false_discovery,
        threshold=reached,
        n=n | {"reference_patients": reference.patients},
        copies=float(flagged.mean()),
        interval=exact_interval(int(flagged.sum()), len(flagged), level=level),
        reference=share,
        reference_interval=interval,
        chance=chance_limit(reached, reference.patients, level=level),
        authentic=float((found.ratio > 1).mean()),
        reference_authentic=float((reference.ratio > 1).mean()),
        pairs=tuple(
            NearestPair(
                generated=int(row),
                train=int(found.row[row]),
                train_patient=int(patients[found.row[row]]),
                distance=float(found.distance[row]),
                ratio=float(found.ratio[row]),
                p=float(p_values[row]),
                named=bool(named[row]),
            )
            for row in order
        ),
    )


def _reference_share(reference: Reference, threshold: float, level: float) -> tuple[float, Interval]:
    """Return the share of reference slices that count as copies, every patient weighing the same."""
    p_values = left_out_p_values(reference.ratio, reference.groups)
    flagged = p_values <= max(threshold, smallest_p_value(reference.patients - 1))
    shares = np.bincount(reference.groups, weights=flagged) / np.bincount(reference.groups)
    return float(shares.mean()), proportion_interval(shares, np.arange(len(shares)), level=level)


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
