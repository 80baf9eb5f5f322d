"""SFD: the Frechet distance of the populations, from the debiased spectrum; for n >= 0.8 d on both sides."""

import numpy as np

from evaluation.fidelity import Side, debiased_fidelity, measure_side
from evaluation.influence import Influence
from evaluation.single_thread import on_one_thread
from evaluation.types import Array, FeatureSet


@on_one_thread
def debiased_influence(real: FeatureSet, generated: FeatureSet) -> Influence:
    """Return |m1 - m2|^2 + Tr S1 + Tr S2 - 2 F, every term without its bias, and each row's influence on it."""
    first, second = measure_side(real.rows, real.groups), measure_side(generated.rows, generated.groups)
    fidelity = debiased_fidelity(first, second)
    delta = generated.rows.mean(0) - real.rows.mean(0)
    point = mean_gap(delta, first, second) + first.trace + second.trace - 2 * fidelity.value
    return Influence(
        point=point,
        real=-2 * first.rows @ delta + first.squares - first.squares.mean() - fidelity.first,
        generated=2 * second.rows @ delta + second.squares - second.squares.mean() - fidelity.second,
    )


def mean_gap(delta: Array, first: Side, second: Side) -> float:
    """Return the squared distance of the two population means; the samples' own is larger by their variances."""
    return float(np.dot(delta, delta)) - first.mean_variance - second.mean_variance
