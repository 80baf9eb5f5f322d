"""Is one model better than another? Differences against one shared reference, whose error then mostly cancels."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float64, Int64

from evaluation.difference import Difference, Pair, check_listed_alike, count_sides
from evaluation.frechet import frechet_influence
from evaluation.influence import Influence
from evaluation.intervals import StandardError, cluster_error, combine_errors
from evaluation.kernel import kernel_influence
from evaluation.manifold_difference import compare_manifolds
from evaluation.types import Direction, FeatureSet, check_pair

Labels = tuple[str, str]
Statistic = Callable[[FeatureSet, FeatureSet], Influence]
NAMED = ("first", "second")


def frechet_at_this_n(real: FeatureSet, generated: FeatureSet) -> Influence:
    """Return the plug-in Frechet distance; between models of unlike spectra its biases need not cancel."""
    return frechet_influence(real.rows, generated.rows)


STATISTICS: dict[str, Statistic] = {"kid": kernel_influence, "fd": frechet_at_this_n}
CAUTIONS = {"fd": "at this n it is biased, and not alike for both models"}


def compare_features(
    real: FeatureSet,
    first: FeatureSet,
    second: FeatureSet,
    *,
    paired: bool,
    level: float = 0.95,
    statistics: Mapping[str, Statistic] = STATISTICS,
    refused: Mapping[str, str] | None = None,
    labels: Labels = NAMED,
) -> tuple[Difference, ...]:
    """Compare two generated sets by distances, precision, recall, density and coverage.

    Args:
        real: the reference that both are compared with.
        first: the generated features of one model.
        second: those of the other, as many rows.
        paired: whether row i of both comes from the same noise.
        level: confidence of the intervals.
        statistics: distances by name; lower is better.
        refused: distances that no interval covers at these counts, and why; they are told, not measured.
        labels: what the two are called.
    """
    check_pair(real, first)
    check_pair(real, second)
    if len(first) != len(second):
        raise ValueError(
            f"both models need as many samples, for scores change with n, but got {len(first)} and {len(second)}"
        )
    distances = [
        compare_influences(
            measure(real, first),
            measure(real, second),
            real=real,
            first_generated=first,
            second_generated=second,
            paired=paired,
            level=level,
            name=f"{name}_{real.extractor}",
            labels=labels,
            caution=CAUTIONS.get(name),
        )
        for name, measure in statistics.items()
    ]
    for name, reason in (refused or {}).items():
        n = count_sides(real, first, second)
        pair = Pair(f"{name}_{real.extractor}", "lower", labels, n, level, paired, real.extractor)
        distances.append(pair.unknown(float("nan"), reason))
    return (*distances, *compare_manifolds(real, first, second, paired=paired, level=level, labels=labels))


def compare_influences(
    first: Influence,
    second: Influence,
    *,
    real: FeatureSet,
    first_generated: FeatureSet,
    second_generated: FeatureSet,
    paired: bool,
    level: float = 0.95,
    name: str = "difference",
    direction: Direction = "lower",
    labels: Labels = NAMED,
    caution: str | None = None,
) -> Difference:
    """Return first - second; influence is subtracted row by row where both sides share the rows, then summed.

    The reference is shared always, so its error mostly cancels. Where `paired`, so are the generated rows,
    one from the same noise as the other.
    """
    n = count_sides(real, first_generated, second_generated)
    pair = Pair(name, direction, labels, n, level, paired, real.extractor, caution=caution)
    if np.array_equal(first_generated.rows, second_generated.rows) and first.point == second.point:
        return pair.identical()
    error = difference_error(
        first, second, real=real, first_generated=first_generated, second_generated=second_generated, paired=paired
    )
    samples = "generated rows subtracted pair by pair" if paired else "generated sides independent"
    method = f"difference -+ t x influence-function error summed per patient, shared reference, {samples}"
    return pair.differ(first.point - second.point, error, method)


def difference_error(
    first: Influence,
    second: Influence,
    *,
    real: FeatureSet,
    first_generated: FeatureSet,
    second_generated: FeatureSet,
    paired: bool,
) -> StandardError:
    """Return the standard error of first - second; variances of random splits add."""
    shared = cluster_error(first.real - second.real, real.groups)
    own = generated_error(first, second, first_generated, second_generated, paired=paired)
    error = combine_errors(shared, own)
    splits = first.split_variance + second.split_variance
    return StandardError(float(np.sqrt(error.value**2 + splits)), error.freedom)


def generated_error(
    first: Influence, second: Influence, first_generated: FeatureSet, second_generated: FeatureSet, *, paired: bool
) -> StandardError:
    """Return the part of the error that more samples make smaller."""
    if not paired:
        return combine_errors(
            cluster_error(first.generated, first_generated.groups),
            cluster_error(second.generated, second_generated.groups),
        )
    check_listed_alike(first_generated, second_generated)
    return cluster_error(first.generated - second.generated, first_generated.groups)


def compare_scores(
    first: Float64[np.ndarray, " n"],
    second: Float64[np.ndarray, " n"],
    groups: Int64[np.ndarray, " n"],
    *,
    name: str,
    direction: Direction,
    level: float = 0.95,
    labels: Labels = NAMED,
    extractor: str | None = None,
) -> Difference:
    """Compare two scores of the same images, such as the SSIM of two reconstructions, paired within each patient.

    Pairs of which one score is infinite (a reconstruction without any error) are counted and left out.
    """
    if not len(first) == len(second) == len(groups):
        raise ValueError(
            f"scores must be of the same images, but got {len(first)}, {len(second)} for {len(groups)} images"
        )
    finite = np.isfinite(first) & np.isfinite(second)
    lost = None if finite.all() else f"{int((~finite).sum())} of {len(finite)} images have an infinite score"
    n = {"real": int(finite.sum()), "real_patients": len(np.unique(groups[finite]))}
    pair = Pair(name, direction, labels, n, level, paired=True, extractor=extractor, note=lost)
    if np.array_equal(first, second):
        return pair.identical()
    gaps = (first - second)[finite] if finite.any() else np.array([np.nan])
    if n["real_patients"] < 2:
        return pair.unknown(float(gaps.mean()), f"{n['real_patients']} patients have finite scores")
    words = f"mean difference -+ t x error summed over {n['real_patients']} patients"
    return pair.differ(float(gaps.mean()), cluster_error(gaps, groups[finite]), words)
