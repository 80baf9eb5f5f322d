"""How much the images of one set differ from each other: mean similarity of pairs of different patients.

Odena, Olah & Shlens 2017 introduced the mean MS-SSIM of random pairs. A set whose pairs resemble each other
more than real patients do has collapsed. Far less alike than real patients is no virtue: noise is diverse.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64

from evaluation.difference import Difference, Pair
from evaluation.intervals import StandardError, combine_errors, number_groups, symmetric_interval
from evaluation.multiscale import describe_scales, ms_ssim_scores
from evaluation.types import Direction, FeatureSet, ImageSet, MetricResult, stand_alone

PAIRS = 2000
METHOD = "U-statistic -+ t x jackknife error, whole patients left out"


@dataclass(frozen=True)
class Spread:
    """The mean over pairs of different patients, its standard error, and how many pairs there were."""

    point: float
    error: StandardError
    pairs: int


def diversity(images: ImageSet, *, pairs: int = PAIRS, seed: int = 0, level: float = 0.95) -> MetricResult:
    """Average the MS-SSIM of random pairs of different patients; lower is more diverse, identical images give 1.

    Samples stand for themselves, so any two are a pair. Measured on toy features, 95 % intervals cover
    0.92 to 0.94 with 8 to 200 patients.
    """
    spread = image_spread(images, pairs=pairs, seed=seed)
    scales = describe_scales(images.images.shape[-2], images.images.shape[-1])
    note = f"{spread.pairs} pairs of different patients; {scales}; lower is more diverse"
    return _result("diversity_ms_ssim", spread, images, direction="lower", level=level, note=note, extractor=None)


def feature_diversity(
    features: FeatureSet, *, pairs: int = 100_000, seed: int = 0, level: float = 0.95
) -> MetricResult:
    """Average the perceptual distance, 1 - cosine of the feature rows, of random pairs of different patients.

    It lies in [0, 2]; higher is more diverse, identical images give 0.
    """
    spread = feature_spread(features, pairs=pairs, seed=seed)
    note = f"1 - cosine over {spread.pairs} pairs of different patients; higher is more diverse"
    name = f"diversity_{features.extractor}"
    return _result(name, spread, features, direction="higher", level=level, note=note, extractor=features.extractor)


def diversity_gap(
    real: ImageSet, generated: ImageSet, *, pairs: int = PAIRS, seed: int = 0, level: float = 0.95
) -> Difference:
    """Return the diversity of generated images less that of real patients, the yardstick.

    Above 0 the samples resemble each other more than patients do (collapse); below 0, less.
    """
    if real.images.shape[1:] != generated.images.shape[1:]:
        raise ValueError(
            "real and generated images must have one shape, for MS-SSIM changes with it,"
            f" but got {tuple(real.images.shape[1:])} and {tuple(generated.images.shape[1:])}"
        )
    ours, theirs = (image_spread(each, pairs=pairs, seed=seed) for each in (generated, real))
    error = combine_errors(ours.error, theirs.error)
    n = {"real": len(real), "generated": len(generated), "real_patients": real.patients}
    pair = Pair("diversity_ms_ssim", "lower", ("generated", "real"), n, level, paired=False, note="0 is as diverse")
    return pair.differ(ours.point - theirs.point, error, "difference -+ t x error of both U-statistics")


def image_spread(images: ImageSet, *, pairs: int = PAIRS, seed: int = 0) -> Spread:
    """Score drawn pairs by MS-SSIM."""
    first, second = draw_pairs(images.groups.cpu().numpy(), pairs=pairs, seed=seed)
    left, right = (stand_alone(images.images[torch.from_numpy(rows)]) for rows in (first, second))
    return spread_of_pairs(ms_ssim_scores(left, right), first, second, images.groups.cpu().numpy())


def feature_spread(features: FeatureSet, *, pairs: int, seed: int = 0) -> Spread:
    """Score drawn pairs by 1 - cosine."""
    lengths = np.linalg.norm(features.rows, axis=1, keepdims=True)
    if (lengths == 0).any():
        raise ValueError(f"feature rows must not be zero everywhere, but {int((lengths == 0).sum())} are")
    unit = features.rows / lengths
    first, second = draw_pairs(features.groups, pairs=pairs, seed=seed)
    return spread_of_pairs(1 - np.einsum("pd,pd->p", unit[first], unit[second]), first, second, features.groups)


def draw_pairs(
    groups: Int64[np.ndarray, " n"], *, pairs: int, seed: int
) -> tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
    """Return about so many distinct pairs of rows of different patients, or all where there are fewer.

    On a circle in random order, each row is paired with the next few: all rows have equally many partners,
    save for those of its own patient, which are left out.
    """
    index, _ = number_groups(groups)
    if pairs < 1:
        raise ValueError(f"pairs must be at least 1, but got {pairs=}")
    n = len(index)
    steps = math.ceil(pairs / n)
    if steps > (n - 1) // 2:
        first, second = (np.asarray(side, dtype=np.int64) for side in np.triu_indices(n, 1))
    else:
        circle = np.random.default_rng(seed).permutation(n)
        first = np.tile(circle, steps)
        second = np.concatenate([np.roll(circle, -step) for step in range(1, steps + 1)])
    apart = index[first] != index[second]
    return first[apart], second[apart]


def spread_of_pairs(
    scores: Float64[np.ndarray, " p"],
    first: Int64[np.ndarray, " p"],
    second: Int64[np.ndarray, " p"],
    groups: Int64[np.ndarray, " n"],
) -> Spread:
    """Average over pairs, with the jackknife error from leaving out one patient after the other.

    To first order it is each patient's influence on the U-statistic; with few patients it is less hopeful.
    """
    index, patients = number_groups(groups)
    touched = index[np.concatenate([first, second])]
    sums = np.bincount(touched, weights=np.concatenate([scores, scores]), minlength=patients)
    left = len(scores) - np.bincount(touched, minlength=patients)
    if (left == 0).any():
        raise ValueError(f"diversity needs pairs without any one patient, but got {patients} patients; 3 is the least")
    without = (scores.sum() - sums) / left
    variance = (patients - 1) / patients * float(((without - without.mean()) ** 2).sum())
    return Spread(float(scores.mean()), StandardError(float(np.sqrt(variance)), float(patients - 1)), len(scores))


def _result(
    name: str,
    spread: Spread,
    items: ImageSet | FeatureSet,
    *,
    direction: Direction,
    level: float,
    note: str,
    extractor: str | None,
) -> MetricResult:
    limits = symmetric_interval(spread.point, spread.error, level=level, method=METHOD)
    return MetricResult(
        name=name,
        point=spread.point,
        low=limits.low,
        high=limits.high,
        level=level,
        interval=limits.method,
        n={"images": len(items), "patients": items.patients, "pairs": spread.pairs},
        extractor=extractor,
        direction=direction,
        note=note,
    )
