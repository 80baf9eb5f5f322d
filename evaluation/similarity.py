"""Similarity of paired images: peak signal-to-noise ratio and structural similarity, one score per image."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from evaluation.intervals import mean_interval
from evaluation.metric import Metric, register
from evaluation.types import Direction, ImageSet, MetricResult, counts

WINDOW, SIGMA = 11, 1.5  # Wang et al. 2004, section III.C
Scores = Float64[np.ndarray, " n"]
Mask = Bool[Tensor, "n h w"] | None


def psnr(
    real: ImageSet,
    generated: ImageSet,
    *,
    mask: Mask = None,
    level: float = 0.95,
    seed: int = 0,
) -> MetricResult:
    """Average the PSNR of each pair in decibels; identical pairs are infinite, counted, and left out of the mean."""
    scores = psnr_scores(real, generated, mask=mask)
    return mean_of_scores(
        "psnr",
        scores,
        real,
        generated,
        direction="higher",
        note=_where(mask),
        level=level,
        seed=seed,
    )


def ssim(
    real: ImageSet,
    generated: ImageSet,
    *,
    mask: Mask = None,
    level: float = 0.95,
    seed: int = 0,
) -> MetricResult:
    """Average the structural similarity of each pair: Gaussian window 11, sigma 1.5, data range 1."""
    scores = ssim_scores(real, generated, mask=mask)
    return mean_of_scores(
        "ssim",
        scores,
        real,
        generated,
        direction="higher",
        note=_where(mask),
        level=level,
        seed=seed,
    )


def _describe(name: str, on_itself: float, low: float, measure: Callable[..., MetricResult]) -> Metric[ImageSet]:
    bounds = (low, on_itself)
    return Metric(
        name=name,
        direction="higher",
        on="images",
        on_itself=on_itself,
        bounds=bounds,
        symmetric=True,
        unbiased=True,
        measure=measure,
    )


register(_describe("psnr", np.inf, 0.0, psnr))
register(_describe("ssim", 1.0, -1.0, ssim))


def psnr_scores(real: ImageSet, generated: ImageSet, *, mask: Mask = None) -> Scores:
    """Return 10 log10(1 / mean squared error) of each pair, over the mask where one is given."""
    check_paired(real, generated)
    squares = (real.images.double() - generated.images.double()).square().mean(1)
    error = _mean_inside(squares, mask)
    return np.asarray((-10 * torch.log10(error)).cpu().numpy())


def ssim_scores(real: ImageSet, generated: ImageSet, *, mask: Mask = None) -> Scores:
    """Return the structural similarity of each pair, over pixels whose whole window lies in the image."""
    check_paired(real, generated)
    pairs = zip(torch.split(real.images, 64), torch.split(generated.images, 64), strict=True)
    maps = torch.cat([ssim_map(a.double(), b.double()).mean(1) for a, b in pairs])
    edge = WINDOW // 2
    inner = None if mask is None else mask[:, edge:-edge, edge:-edge]
    return np.asarray(_mean_inside(maps, inner).cpu().numpy())


def ssim_map(
    first: Float64[Tensor, "n c h w"], second: Float64[Tensor, "n c h w"], *, data_range: float = 1.0
) -> Float64[Tensor, "n c i j"]:
    """Return the local similarity where the window fits, in float64, for float32 cancels."""
    if min(first.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of {WINDOW} pixels or more, but got {tuple(first.shape[-2:])}")
    mean1, mean2 = _blur(first), _blur(second)
    variance1, variance2 = _blur(first**2) - mean1**2, _blur(second**2) - mean2**2
    covariance = _blur(first * second) - mean1 * mean2
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean1 * mean2 + c1) / (mean1**2 + mean2**2 + c1)
    return luminance * (2 * covariance + c2) / (variance1 + variance2 + c2)


def check_paired(real: ImageSet, generated: ImageSet) -> None:
    """Refuse sets whose rows are not the same slices of the same patients."""
    if real.images.shape != generated.images.shape:
        raise ValueError(
            f"pairs must have one shape, but got {tuple(real.images.shape)} and {tuple(generated.images.shape)}"
        )
    if not torch.equal(real.groups, generated.groups):
        raise ValueError("pairs must list the same patients in the same order, but the groups differ")


def mean_of_scores(
    name: str,
    scores: Scores,
    real: ImageSet,
    generated: ImageSet,
    *,
    direction: Direction,
    note: str | None = None,
    extractor: str | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> MetricResult:
    """Average per-image scores with an interval over patients; infinite scores are counted in the note."""
    finite = np.isfinite(scores)
    limits = None
    patients = len(np.unique(real.groups.cpu().numpy()[finite]))
    if patients > 1:
        limits = mean_interval(
            scores[finite],
            real.groups.cpu().numpy()[finite],
            level=level,
            seed=seed,
        )
    infinite = f"{int((~finite).sum())} of {len(scores)} pairs are identical and left out of the mean"
    notes = [part for part in (note, None if finite.all() else infinite) if part]
    return MetricResult(
        name=name,
        point=float(scores[finite].mean()) if finite.any() else float(np.inf),
        low=limits.low if limits else None,
        high=limits.high if limits else None,
        level=level,
        interval=limits.method if limits else f"none: {patients} patients with a finite score",
        n=counts(real, generated),
        extractor=extractor,
        direction=direction,
        note="; ".join(notes) or None,
    )


def _blur(images: Float64[Tensor, "n c h w"]) -> Float64[Tensor, "n c i j"]:
    offsets = torch.arange(WINDOW, dtype=torch.float64, device=images.device) - WINDOW // 2
    kernel = torch.exp(-0.5 * (offsets / SIGMA) ** 2)
    kernel = kernel / kernel.sum()
    flat = images.flatten(0, 1).unsqueeze(1)
    flat = torch.nn.functional.conv2d(flat, kernel.view(1, 1, -1, 1))
    flat = torch.nn.functional.conv2d(flat, kernel.view(1, 1, 1, -1))
    return flat.reshape(*images.shape[:2], *flat.shape[-2:])


def _mean_inside(maps: Float[Tensor, "n i j"], mask: Mask) -> Float[Tensor, " n"]:
    if mask is None:
        return maps.mean((1, 2))
    if mask.shape != maps.shape:
        raise ValueError(f"the mask must cover the images, but got {tuple(mask.shape)} for {tuple(maps.shape)}")
    inside = mask.sum((1, 2))
    if bool((inside == 0).any()):
        raise ValueError(f"every mask must mark a pixel, but {int((inside == 0).sum())} mark none; drop those slices")
    return (maps * mask).sum((1, 2)) / inside


def _where(mask: Mask) -> str:
    return "whole slice" if mask is None else "inside the mask"
