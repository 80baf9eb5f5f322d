"""What a metric promises; the registry whose every member inherits the property suite."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from evaluation.types import Direction, FeatureSet, ImageSet, MetricResult

Input = TypeVar("Input", FeatureSet, ImageSet)


@dataclass(frozen=True)
class Metric(Generic[Input]):
    """A metric's name, what it looks at, and the laws it keeps.

    Args:
        on_itself: the value of a set against itself; None where the estimate needs two independent sets.
        bounds: the values it can take.
        unbiased: whether its mean does not depend on the number of samples.
        measure: (real, generated, *, level) -> result; paired images for metrics on images.
    """

    name: str
    direction: Direction
    on: Literal["features", "images"]
    on_itself: float | None
    bounds: tuple[float, float]
    symmetric: bool
    unbiased: bool
    measure: Callable[..., MetricResult]


METRICS: dict[str, Metric[FeatureSet] | Metric[ImageSet]] = {}


def register(metric: Metric[Input]) -> Metric[Input]:
    """Add a metric to `METRICS`; a name is given once."""
    if metric.name in METRICS:
        raise ValueError(f"metric names are unique, but {metric.name!r} is registered already")
    METRICS[metric.name] = metric
    return metric
