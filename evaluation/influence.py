"""A statistic with what each row contributes to its error: the currency of intervals and of paired differences."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from evaluation.intervals import StandardError, cluster_error, combine_errors
from evaluation.types import FeatureSet


@dataclass(frozen=True, eq=False)
class Influence:
    """A statistic of (real, generated) rows, linearized; each side's influence sums to zero.

    Args:
        point: the estimate.
        real: influence of each real row.
        generated: influence of each generated row.
        split_variance: variance that the estimator's own random splits add; 0 where it draws none.
    """

    point: float
    real: Float64[np.ndarray, " n"]
    generated: Float64[np.ndarray, " m"]
    split_variance: float = 0.0

    def error(self, real: FeatureSet, generated: FeatureSet) -> StandardError:
        """Return the standard error, both sides' influence summed per patient."""
        error = combine_errors(cluster_error(self.real, real.groups), cluster_error(self.generated, generated.groups))
        return StandardError(float(np.sqrt(error.value**2 + self.split_variance)), error.freedom)
