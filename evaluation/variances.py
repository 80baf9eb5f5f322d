"""What one patient, one generated sample and one training contribute to the error of a value or a difference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.difference import check_listed_alike
from evaluation.influence import Influence
from evaluation.intervals import cluster_error
from evaluation.types import FeatureSet


@dataclass(frozen=True)
class Variances:
    """What one patient, one generated sample and one training seed contribute to the variance.

    Attributes:
        patient: with as many slices per patient as the reference has now.
        sample: of one generated slice, or of one pair from the same noise.
        seed: of one training; None where a single training was seen, so that a plan holds for these weights alone.
        fixed: variance of random splits of the estimator, which no count makes smaller.
    """

    patient: float
    sample: float
    seed: float | None = None
    fixed: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.patient, self.sample, self.fixed, self.seed or 0.0)
        if not all(0 <= number < math.inf for number in numbers):
            raise ValueError(f"variances must be finite and not negative, but got {self}")


def variances_of(influence: Influence, real: FeatureSet, generated: FeatureSet) -> Variances:
    """Return what each patient and sample contributes to one model's value."""
    return Variances(
        patient=cluster_error(influence.real, real.groups).value ** 2 * real.patients,
        sample=cluster_error(influence.generated, generated.groups).value ** 2 * generated.patients,
        fixed=influence.split_variance,
    )


def variances_of_difference(
    first: Influence,
    second: Influence,
    *,
    real: FeatureSet,
    first_generated: FeatureSet,
    second_generated: FeatureSet,
    paired: bool,
) -> Variances:
    """Return what each shared patient, and each sample of both models, contributes to their difference."""
    sides = ((first, first_generated), (second, second_generated))
    if paired:
        check_listed_alike(first_generated, second_generated)
        gaps = cluster_error(first.generated - second.generated, first_generated.groups).value ** 2
        sample = gaps * first_generated.patients
    else:
        sample = sum(cluster_error(one.generated, rows.groups).value ** 2 * rows.patients for one, rows in sides)
    return Variances(
        patient=cluster_error(first.real - second.real, real.groups).value ** 2 * real.patients,
        sample=sample,
        fixed=first.split_variance + second.split_variance,
    )


def between_seeds(variances: Sequence[Variances], points: Sequence[float], *, samples: int) -> Variances:
    """Join what several seeds tell: parts averaged, and the spread of the points less what samples explain of it."""
    if len(variances) != len(points) or len(points) < 2:
        raise ValueError(f"the spread of seeds needs 2 of them, but got {len(variances)} and {len(points)}")
    sample = float(np.mean([each.sample for each in variances]))
    return Variances(
        patient=float(np.mean([each.patient for each in variances])),
        sample=sample,
        seed=max(0.0, float(np.var(points, ddof=1)) - sample / samples),
        fixed=float(np.mean([each.fixed for each in variances])),
    )
