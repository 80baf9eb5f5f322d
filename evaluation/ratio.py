"""How many times as far from real as another set: a ratio of Frechet distances, free of the extractor's scale."""

import numpy as np

from evaluation.compare import difference_error
from evaluation.frechet import frechet_influence
from evaluation.influence import Influence
from evaluation.intervals import StandardError, symmetric_interval
from evaluation.types import FeatureSet, MetricResult, check_pair


def distance_ratio(
    real: FeatureSet, first: FeatureSet, second: FeatureSet, *, level: float = 0.95, note: str | None = None
) -> MetricResult:
    """Return the first set's distance to real divided by the second's; both share the real patients.

    The error is that of ``first - ratio x second`` over ``second`` (delta method); the generated sides are independent.

    Args:
        real: the reference.
        first: one generated set.
        second: another, whose distance must be above 0.
        level: confidence of the interval.
        note: what is told of the ratio.
    """
    check_pair(real, first)
    check_pair(real, second)
    above, below = (frechet_influence(real.rows, each.rows) for each in (first, second))
    if below.point <= 0:
        raise ValueError(f"a ratio needs a second distance above 0, but got {below.point:.4g}")
    ratio = above.point / below.point
    scaled = Influence(above.point, ratio * below.real, ratio * below.generated)
    if np.array_equal(first.rows, second.rows):
        error = StandardError(0.0, float(real.patients - 1))
    else:
        error = difference_error(above, scaled, real=real, first_generated=first, second_generated=second, paired=False)
    own = StandardError(error.value / below.point, error.freedom)
    words = "ratio -+ t x influence-function error summed per patient, shared reference (delta method)"
    limits = symmetric_interval(ratio, own, level=level, method=words)
    return MetricResult(
        name=f"fd_ratio_{real.extractor}",
        point=ratio,
        low=limits.low,
        high=limits.high,
        level=level,
        interval=limits.method,
        n={"real": len(real), "generated": len(first), "real_patients": real.patients},
        extractor=real.extractor,
        direction="lower",
        note=note,
    )
