"""Similarity of paired images: peak signal-to-noise ratio and structural similarity, one score per image.

An `ImageSet` holds intensities in [0, 1], hence the data range 1.0; it is never read off the images.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from evaluation.metric import Metric, register
from evaluation.paired import Mask, Scores, check_paired, mean_inside, mean_of_scores, name_region
from evaluation.types import ImageSet, MetricResult

__all__ = ["check_paired", "local_terms", "mean_of_scores", "psnr", "psnr_scores", "ssim", "ssim_map", "ssim_scores"]

WINDOW, SIGMA = 11, 1.5  # Wang et al. 2004, section III.C
K1, K2 = 0.01, 0.03
BATCH = 64  # images whose maps are held at once


class LocalTerms(NamedTuple):
    """Wang et al. 2004, eq. 6, 9 and 10 in each window: luminance, and contrast times structure."""

    luminance: Float64[Tensor, "n c i j"]
    contrast: Float64[Tensor, "n c i j"]


def psnr(
    real: ImageSet,
    generated: ImageSet,
    *,
    mask: Mask = None,
    data_range: float = 1.0,
    level: float = 0.95,
    seed: int = 0,
) -> MetricResult:
    """Average the PSNR of each pair in decibels; identical pairs are infinite, counted, and left out of the mean."""
    scores = psnr_scores(real, generated, mask=mask, data_range=data_range)
    note = name_region(mask)
    return mean_of_scores("psnr", scores, real, generated, direction="higher", note=note, level=level, seed=seed)


def ssim(
    real: ImageSet,
    generated: ImageSet,
    *,
    mask: Mask = None,
    data_range: float = 1.0,
    level: float = 0.95,
    seed: int = 0,
) -> MetricResult:
    """Average the structural similarity of each pair: Gaussian window 11, sigma 1.5.

    With a mask, the windows centered in it count; they reach 5 pixels beyond.

    >>> real = ImageSet(torch.rand(4, 1, 16, 16), torch.arange(4) // 2)  # two patients of two slices
    >>> round(ssim(real, real).point, 9)
    1.0
    """
    scores = ssim_scores(real, generated, mask=mask, data_range=data_range)
    note = name_region(mask)
    return mean_of_scores("ssim", scores, real, generated, direction="higher", note=note, level=level, seed=seed)


def _describe(name: str, on_itself: float, low: float, measure: Callable[..., MetricResult]) -> Metric[ImageSet]:
    return Metric(
        name=name,
        direction="higher",
        on="images",
        on_itself=on_itself,
        bounds=(low, on_itself),
        symmetric=True,
        unbiased=True,
        measure=measure,
    )


register(_describe("psnr", np.inf, 0.0, psnr))
register(_describe("ssim", 1.0, -1.0, ssim))


def psnr_scores(real: ImageSet, generated: ImageSet, *, mask: Mask = None, data_range: float = 1.0) -> Scores:
    """Return 10 log10(data_range^2 / mean squared error) of each pair, over the mask where one is given."""
    check_paired(real, generated)
    check_data_range(data_range)
    squares = (real.images.double() - generated.images.double()).square().mean(1)
    error = mean_inside(squares, mask)
    return np.asarray((10 * torch.log10(data_range**2 / error)).cpu().numpy())


def ssim_scores(real: ImageSet, generated: ImageSet, *, mask: Mask = None, data_range: float = 1.0) -> Scores:
    """Return the structural similarity of each pair, over pixels whose whole window lies in the image."""
    check_paired(real, generated)
    pairs = zip(torch.split(real.images, BATCH), torch.split(generated.images, BATCH), strict=True)
    maps = torch.cat([ssim_map(a.double(), b.double(), data_range=data_range).mean(1) for a, b in pairs])
    return np.asarray(mean_inside(maps, mask, edge=WINDOW // 2).cpu().numpy())


def ssim_map(
    first: Float64[Tensor, "n c h w"], second: Float64[Tensor, "n c h w"], *, data_range: float = 1.0
) -> Float64[Tensor, "n c i j"]:
    """Return the local similarity where the window fits."""
    terms = local_terms(first, second, data_range=data_range)
    return terms.luminance * terms.contrast


def local_terms(
    first: Float64[Tensor, "n c h w"], second: Float64[Tensor, "n c h w"], *, data_range: float = 1.0
) -> LocalTerms:
    """Return both terms where the window fits, in float64, for float32 cancels."""
    if min(first.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of {WINDOW} pixels or more, but got {tuple(first.shape[-2:])}")
    check_data_range(data_range)
    mean1, mean2 = _blur(first), _blur(second)
    variance1, variance2 = _blur(first**2) - mean1**2, _blur(second**2) - mean2**2
    covariance = _blur(first * second) - mean1 * mean2
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    return LocalTerms(
        luminance=(2 * mean1 * mean2 + c1) / (mean1**2 + mean2**2 + c1),
        contrast=(2 * covariance + c2) / (variance1 + variance2 + c2),
    )


def check_data_range(data_range: float) -> None:
    """Refuse a span of intensities that is none."""
    if not 0 < data_range < math.inf:
        raise ValueError(f"data_range must be above 0 and finite, but got {data_range=}")


def _blur(images: Float64[Tensor, "n c h w"]) -> Float64[Tensor, "n c i j"]:
    offsets = torch.arange(WINDOW, dtype=torch.float64, device=images.device) - WINDOW // 2
    kernel = torch.exp(-0.5 * (offsets / SIGMA) ** 2)
    kernel = kernel / kernel.sum()
    flat = images.flatten(0, 1).unsqueeze(1)
    flat = torch.nn.functional.conv2d(flat, kernel.view(1, 1, -1, 1))
    flat = torch.nn.functional.conv2d(flat, kernel.view(1, 1, 1, -1))
    return flat.reshape(*images.shape[:2], *flat.shape[-2:])
