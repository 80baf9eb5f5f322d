"""All feature metrics at once, and the value that real patients reach against real patients."""

from dataclasses import replace

from evaluation.frechet import frechet_distance
from evaluation.kernel import kernel_distance
from evaluation.manifold import NEIGHBORS, precision_recall
from evaluation.population import population_distance
from evaluation.types import FeatureSet, MetricResult


def evaluate_features(
    real: FeatureSet, generated: FeatureSet, *, neighbors: int = NEIGHBORS, level: float = 0.95
) -> tuple[MetricResult, ...]:
    """Measure the Frechet distance of this n and of the populations, KID, precision, recall, density and coverage."""
    return (
        frechet_distance(real, generated, level=level),
        population_distance(real, generated, level=level),
        kernel_distance(real, generated, level=level),
        *precision_recall(real, generated, neighbors=neighbors, level=level),
    )


def noise_floor(
    first: FeatureSet, second: FeatureSet, *, neighbors: int = NEIGHBORS, level: float = 0.95
) -> tuple[MetricResult, ...]:
    """Measure one part of the real patients against another: no generator can be expected to do better."""
    results = evaluate_features(first, second, neighbors=neighbors, level=level)
    floor = "noise floor: real patients against other real patients"
    return tuple(replace(result, note=f"{floor}; {result.note}" if result.note else floor) for result in results)
