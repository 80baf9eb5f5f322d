"""The distances two models may be compared by: the population's where an interval covers, the kernel's always."""

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.compare import STATISTICS, Statistic
from evaluation.population import choose_estimator
from evaluation.types import FeatureSet

POPULATION = "population_fd"


@dataclass(frozen=True)
class Distances:
    """The distances that may be compared at these counts, the first of them leading; and why others may not."""

    allowed: Mapping[str, Statistic]
    refused: Mapping[str, str]


def choose_distances(*sets: FeatureSet) -> Distances:
    """Return what the reference and all generated sets allow; all models answer to one estimator."""
    estimator = choose_estimator(*sets)
    if estimator.refusal is not None:
        return Distances(STATISTICS, {POPULATION: estimator.refusal})
    return Distances({POPULATION: estimator.influence, **STATISTICS}, {})
