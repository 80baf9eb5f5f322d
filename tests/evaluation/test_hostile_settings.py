"""Settings that mean nothing are refused in one line that states the rule and echoes the value."""

import math
from functools import partial

import pytest
import torch

from evaluation import (
    compare_features,
    diversity,
    diversity_gap,
    evaluate_features,
    feature_diversity,
    frechet_distance,
    kernel_distance,
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
)
from evaluation.perceptual import load_lpips

pytestmark = pytest.mark.usefixtures("_as_users_run")
SIMILARITY = {"ssim": ssim, "psnr": psnr, "ms_ssim": ms_ssim}


def pictures(n=12, seed=0):
    return stand_alone(torch.rand((n, 1, 24, 24), generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("metric", SIMILARITY)
@pytest.mark.parametrize(
    ("mask", "echo"),
    [
        (torch.zeros((12, 24, 24), dtype=torch.bool), "mark"),
        (torch.ones((12, 23, 24), dtype=torch.bool), "cover the images"),
        (torch.ones((1, 24, 24), dtype=torch.bool), "cover the images"),
    ],
    ids=["empty", "other side", "other number"],
)
def test_a_mask_that_does_not_fit_is_refused(metric, mask, echo):
    with pytest.raises(ValueError, match=echo) as raised:
        SIMILARITY[metric](pictures(), pictures(seed=1), mask=mask)
    assert "\n" not in str(raised.value)


FEATURES_AT = {
    "frechet_distance": frechet_distance,
    "bootstrap": partial(frechet_distance, interval="bootstrap", replicates=5),
    "kernel_distance": kernel_distance,
    "precision_recall": precision_recall,
    "population_distance": population_distance,
    "evaluate_features": evaluate_features,
    "noise_floor": noise_floor,
    "memorization": lambda real, generated, level: memorization(real, real, generated, level=level),
    "compare_features": lambda real, generated, level: compare_features(
        real, generated, real, paired=False, level=level
    ),
    "feature_diversity": lambda real, generated, level: feature_diversity(generated, level=level),
}
IMAGES_AT = {
    **SIMILARITY,
    "diversity": lambda real, generated, level: diversity(generated, level=level),
    "diversity_gap": diversity_gap,
    "pixel_memorization": lambda real, generated, level: pixel_memorization(real, real, generated, level=level),
}


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, -0.5, math.nan])
@pytest.mark.parametrize("metric", FEATURES_AT | IMAGES_AT)
def test_a_level_outside_0_to_1_is_refused(metric, level, make_features):
    sets = (
        (make_features(0, 40, 6), make_features(1, 40, 6)) if metric in FEATURES_AT else (pictures(), pictures(seed=1))
    )
    with pytest.raises(ValueError, match="level must lie between 0 and 1, but got level="):
        (FEATURES_AT | IMAGES_AT)[metric](*sets, level=level)


@pytest.mark.parametrize("data_range", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("metric", SIMILARITY)
def test_a_data_range_that_is_none_is_refused(metric, data_range):
    with pytest.raises(ValueError, match=r"data_range must be .*got data_range="):
        SIMILARITY[metric](pictures(), pictures(seed=1), data_range=data_range)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_no_images_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"at least 1, but got batch_size={batch_size}"):
        perceptual_distance(pictures(2), pictures(2, seed=1), batch_size=batch_size)


def test_an_unknown_backbone_lists_the_known():
    with pytest.raises(ValueError, match="alex, vgg, squeeze, but got backbone='resnet'"):
        load_lpips(None, "resnet")
