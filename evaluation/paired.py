"""Scores of paired images, one per pair: who may be paired, where they are averaged, and what the mean is worth."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from evaluation.intervals import mean_interval
from evaluation.types import Direction, ImageSet, MetricResult, counts

Scores = Float64[np.ndarray, " n"]
Mask = Bool[Tensor, "n h w"] | None


def check_paired(real: ImageSet, generated: ImageSet) -> None:
    """Refuse sets whose rows are not the same slices of the same patients."""
    if real.images.shape != generated.images.shape:
        raise ValueError(
            f"pairs must have one shape, but got {tuple(real.images.shape)} and {tuple(generated.images.shape)}"
        )
    if not torch.equal(real.groups, generated.groups):
        raise ValueError("pairs must list the same patients in the same order, but the groups differ")


def mean_inside(maps: Float[Tensor, "n i j"], mask: Mask, *, edge: int = 0) -> Float[Tensor, " n"]:
    """Average each map over its mask.

    Args:
        maps: one per pair.
        mask: of the whole images; None averages everywhere.
        edge: pixels that the maps lack on every side of the images.
    """
    if mask is None:
        return maps.mean((1, 2))
    inner = mask[:, edge : mask.shape[1] - edge, edge : mask.shape[2] - edge]
    if inner.shape != maps.shape:
        raise ValueError(f"the mask must cover the images, but got {tuple(inner.shape)} for {tuple(maps.shape)}")
    return weighted_mean(maps, inner.to(maps.dtype))


def weighted_mean(maps: Float[Tensor, "n i j"], weights: Float[Tensor, "n i j"]) -> Float[Tensor, " n"]:
    """Average each map with weights of at least 0, of which one pixel's must be above."""
    sums = weights.sum((1, 2))
    if bool((sums == 0).any()):
        raise ValueError(f"every mask must mark a pixel, but {int((sums == 0).sum())} mark none; drop those slices")
    return (maps * weights).sum((1, 2)) / sums


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
    groups = real.groups.cpu().numpy()[finite]
    patients = len(np.unique(groups))
    limits = mean_interval(scores[finite], groups, level=level, seed=seed) if patients > 1 else None
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


def name_region(mask: Mask) -> str:
    """Say in a result's note where it was measured."""
    return "whole slice" if mask is None else "inside the mask"
