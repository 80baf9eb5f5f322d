"""What no metric may answer with a number: every input is either judged or refused in one line that echoes it.

The laws: a ValueError of one line, or finite numbers with limits around them; never NaN, never a warning.
"""

import math
from dataclasses import astuple

import numpy as np
import pytest
import torch

from evaluation import (
    Difference,
    DistanceCurve,
    ErrorMap,
    FeatureSet,
    ImageSet,
    MemorizationAudit,
    MetricResult,
    compare_features,
    distance_curve,
    diversity,
    diversity_gap,
    error_map,
    evaluate_features,
    feature_diversity,
    frechet_distance,
    intensity_mask,
    kernel_distance,
    lpips,
    memorization,
    ms_ssim,
    noise_floor,
    perceptual_distance,
    pixel_memorization,
    population_distance,
    precision_recall,
    psnr,
    ssim,
    stand_alone,
    write_features,
)

pytestmark = pytest.mark.usefixtures("_as_users_run")

FEATURES = {
    "frechet_distance": frechet_distance,
    "bootstrap": lambda real, generated: frechet_distance(real, generated, interval="bootstrap", replicates=20),
    "kernel_distance": kernel_distance,
    "precision_recall": precision_recall,
    "population_distance": population_distance,
    "evaluate_features": evaluate_features,
    "noise_floor": noise_floor,
    "distance_curve": lambda real, generated: distance_curve(real, generated, repeats=2),
    "memorization": lambda real, generated: memorization(real, real, generated),
    "compare_features": lambda real, generated: compare_features(real, generated, generated, paired=False),
    "feature_diversity": lambda real, generated: feature_diversity(generated),
    "write_features": write_features,
}
PAIRED = {"ssim": ssim, "psnr": psnr, "ms_ssim": ms_ssim, "error_map": error_map}
SETS = {
    "diversity": lambda real, generated: diversity(generated),
    "diversity_gap": diversity_gap,
    "pixel_memorization": lambda real, generated: pixel_memorization(real, real, generated),
    "intensity_mask": lambda real, generated: intensity_mask(generated),
}


def numbers(answer):
    """Yield every number that an answer states."""
    if isinstance(answer, tuple):
        for each in answer:
            yield from numbers(each)
    elif isinstance(answer, MetricResult):
        if answer.interval.startswith("refused"):
            return  # NaN by contract: the interval says in words why
        yield from (value for value in (answer.point, answer.low, answer.high) if value is not None)
    elif isinstance(answer, (Difference, DistanceCurve, MemorizationAudit)):
        yield from (value for value in flatten(astuple(answer)) if isinstance(value, float))
    elif isinstance(answer, ErrorMap):
        yield from (*answer.mean.flatten().tolist(), *answer.high.flatten().tolist())
    elif isinstance(answer, torch.Tensor):
        yield from answer.double().flatten().tolist()
    elif isinstance(answer, np.ndarray):
        yield from answer.astype(float).ravel().tolist()


def flatten(value):
    if isinstance(value, (tuple, list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from flatten(each)
    else:
        yield value


def judged_or_refused(call):
    """Return the refusal's words, or None where the numbers are sound. Warnings are errors in every test."""
    try:
        answer = call()
    except ValueError as error:
        words = str(error)
        assert "\n" not in words, words
        assert len(words) > 20, words
        return words
    assert not any(math.isnan(value) for value in numbers(answer)), answer
    return None


def rows(n=40, d=6, seed=0, per_patient=1):
    return FeatureSet(np.random.default_rng(seed).standard_normal((n, d)), np.arange(n) // per_patient, "toy")


def scaled(factors):
    return tuple(FeatureSet(rows(seed=seed).rows * factors, np.arange(40), "toy") for seed in (0, 1))


def constant(n=40, d=6, value=1.0):
    return FeatureSet(np.full((n, d), value), np.arange(n), "toy")


def pictures(n=12, channels=1, side=24, seed=0):
    return stand_alone(torch.rand((n, channels, side, side), generator=torch.Generator().manual_seed(seed)))


def flat(n=12, value=0.5, side=24):
    return stand_alone(torch.full((n, 1, side, side), value))


@pytest.mark.parametrize(
    ("values", "echo"),
    [
        (torch.full((2, 1, 4, 4), 1.5), r"\[0, 1\], but they span \[1.5, 1.5\]"),
        (torch.full((2, 1, 4, 4), -1.0), r"\[0, 1\], but they span \[-1, -1\]"),
        (torch.full((2, 1, 4, 4), torch.nan), "finite, but some values are NaN"),
        (torch.full((2, 1, 4, 4), torch.inf), "finite, but some values are NaN or infinite"),
        (torch.zeros((2, 1, 4, 4), dtype=torch.uint8), r"torch\.uint8; convert"),
        (torch.zeros((0, 1, 4, 4)), r"shape \(0, 1, 4, 4\)"),
        (torch.zeros((2, 4, 4)), r"shape \(2, 4, 4\)"),
    ],
    ids=["too bright", "minus one", "NaN", "infinite", "uint8", "empty", "no channel"],
)
def test_no_image_set_holds_what_is_not_an_image(values, echo):
    for build in (stand_alone, lambda images: ImageSet(images, torch.zeros(len(images), dtype=torch.int64))):
        with pytest.raises(ValueError, match=echo) as raised:
            build(values)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "groups", "echo"),
    [
        (np.full((3, 2), np.nan), np.arange(3), "finite, but some values are NaN"),
        (np.full((3, 2), -np.inf), np.arange(3), "finite"),
        (np.ones((3, 2), dtype=np.float32), np.arange(3), "float64, but got float32"),
        (np.ones((0, 2)), np.arange(0), r"shape \(0, 2\)"),
        (np.ones((3, 0)), np.arange(3), r"shape \(3, 0\)"),
        (np.ones(3), np.arange(3), r"shape \(3,\)"),
        (np.ones((3, 2)), np.arange(2), r"3 rows, but got shape \(2,\)"),
    ],
    ids=["NaN", "infinite", "float32", "no row", "no feature", "flat", "too few patients"],
)
def test_no_feature_set_holds_what_is_not_a_feature(values, groups, echo):
    with pytest.raises(ValueError, match=echo) as raised:
        FeatureSet(values, groups, "toy")
    assert "\n" not in str(raised.value)


FEATURE_CASES = {
    "one row": (rows(), rows(1, seed=1)),
    "two rows": (rows(), rows(2, seed=1)),
    "one row each": (rows(1), rows(1, seed=1)),
    "one patient": (rows(), rows(12, seed=1, per_patient=12)),
    "all equal": (constant(), constant()),
    "all zero": (constant(value=0.0), constant(value=0.0)),
    "equal on one side": (rows(), constant()),
    "one set twice": (rows(), rows()),
    "duplicated rows": (rows(), FeatureSet(np.repeat(rows(10).rows, 4, 0), np.arange(40), "toy")),
    "a dead feature": scaled([1.0, 1.0, 1.0, 1.0, 1.0, 0.0]),
    "one feature": (rows(d=1), rows(d=1, seed=1)),
    "huge": scaled(1e8),
    "tiny": scaled(1e-8),
    "other width": (rows(), rows(d=5)),
    "other extractor": (rows(), FeatureSet(rows().rows, np.arange(40), "other")),
}


@pytest.mark.parametrize("metric", FEATURES)
@pytest.mark.parametrize("case", FEATURE_CASES)
def test_features_are_judged_or_refused(metric, case):
    words = judged_or_refused(lambda: FEATURES[metric](*FEATURE_CASES[case]))
    if case.startswith("other") and metric != "feature_diversity":
        assert words is not None, "sets that cannot be compared"
    if case in ("huge", "tiny", "one set twice", "a dead feature", "one feature"):
        assert words is None, words


PAIR_CASES = {
    "one image": (pictures(1), pictures(1, seed=1)),
    "two images": (pictures(2), pictures(2, seed=1)),
    "all equal": (flat(), flat()),
    "all black": (flat(value=0.0), flat(value=0.0)),
    "black and white": (flat(value=0.0), flat(value=1.0)),
    "one set twice": (pictures(), pictures()),
    "float64": (stand_alone(pictures().images.double()), pictures(seed=1)),
    "float16": (stand_alone(pictures().images.half()), stand_alone(pictures(seed=1).images.half())),
    "three channels": (pictures(channels=3), pictures(channels=3, seed=1)),
    "other channels": (pictures(channels=3), pictures()),
    "other side": (pictures(), pictures(side=32)),
    "other number": (pictures(), pictures(11)),
    "other patients": (pictures(), ImageSet(pictures().images, torch.zeros(12, dtype=torch.int64))),
    "small": (pictures(side=8), pictures(side=8, seed=1)),
    "one pixel": (pictures(side=1), pictures(side=1, seed=1)),
}


@pytest.mark.parametrize("metric", PAIRED | SETS)
@pytest.mark.parametrize("case", PAIR_CASES)
def test_images_are_judged_or_refused(metric, case):
    words = judged_or_refused(lambda: (PAIRED | SETS)[metric](*PAIR_CASES[case]))
    if case.startswith("other") and metric in PAIRED:
        assert words is not None, "pairs of other images"
        assert any(sign in words for sign in "([") or "patients" in words, "the value is echoed"
    if case in ("one set twice", "all black", "float64", "three channels") and metric in PAIRED:
        assert words is None, words


@pytest.mark.parametrize("case", ["other channels", "other side", "other number", "other patients"])
def test_perceptual_distances_refuse_what_are_no_pairs(case, monkeypatch):
    monkeypatch.setattr("evaluation.perceptual.SMALLEST", 8)
    monkeypatch.setattr("evaluation.perceptual.load_lpips", lambda *_: pytest.fail("pairs are checked first"))
    for measure in (perceptual_distance, lambda *pair: lpips(*pair, weights=None)):
        assert judged_or_refused(lambda measure=measure: measure(*PAIR_CASES[case])) is not None


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in PAIR_CASES if not case.startswith("other")])
def test_perceptual_distances_are_finite_on_any_pair(case):
    assert judged_or_refused(lambda: perceptual_distance(*PAIR_CASES[case])) is None


def test_two_channels_have_no_features():
    with pytest.raises(ValueError, match="1 or 3 channels, but got 2"):
        perceptual_distance(pictures(channels=2), pictures(channels=2, seed=1))
