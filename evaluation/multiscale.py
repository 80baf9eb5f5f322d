"""Multi-scale structural similarity (Wang, Simoncelli & Bovik 2003) of paired images.

Contrast and structure count at every scale, luminance at the coarsest alone (eq. 7). From scale to
scale the image is averaged over 2 x 2 pixels; an odd last row is doubled first, as the authors' code does.
"""

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from evaluation.metric import Metric, register
from evaluation.paired import Mask, Scores, check_paired, mean_of_scores, name_region, weighted_mean
from evaluation.similarity import BATCH, WINDOW, local_terms
from evaluation.types import ImageSet, MetricResult

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # section 3.2, finest scale first


def ms_ssim(
    real: ImageSet,
    generated: ImageSet,
    *,
    mask: Mask = None,
    data_range: float = 1.0,
    level: float = 0.95,
    seed: int = 0,
) -> MetricResult:
    """Average the multi-scale similarity of each pair, over as many scales as the window fits into.

    The note says how many: images of 64 pixels have 3 scales, of 96 have 4, of 176 and more the paper's
    5. Values of different numbers of scales do not compare. `ImageSet` spans [0, 1]: data range 1.0.
    """
    scores = ms_ssim_scores(real, generated, mask=mask, data_range=data_range)
    scales = describe_scales(real.images.shape[-2], real.images.shape[-1])
    return mean_of_scores(
        "ms_ssim",
        scores,
        real,
        generated,
        direction="higher",
        note="; ".join([name_region(mask), scales, *describe_clamped(scores)]),
        level=level,
        seed=seed,
    )


register(
    Metric(
        name="ms_ssim",
        direction="higher",
        on="images",
        on_itself=1.0,
        bounds=(0.0, 1.0),
        symmetric=True,
        unbiased=True,
        measure=ms_ssim,
    )
)


def ms_ssim_scores(real: ImageSet, generated: ImageSet, *, mask: Mask = None, data_range: float = 1.0) -> Scores:
    """Return the multi-scale similarity of each pair, in [0, 1].

    With a mask, each window counts by the share of its center pixel that the mask covers at that scale.
    """
    check_paired(real, generated)
    inside = torch.ones_like(real.images[:, 0], dtype=torch.bool) if mask is None else mask
    if inside.shape != real.images[:, 0].shape:
        raise ValueError(f"the mask must cover the images, but got {tuple(inside.shape)} for {len(real)} images")
    batches = zip(*(torch.split(part, BATCH) for part in (real.images, generated.images, inside)), strict=True)
    scores = [_similarity(a.double(), b.double(), c.double(), data_range=data_range) for a, b, c in batches]
    return np.asarray(torch.cat(scores).cpu().numpy())


def scale_weights(height: int, width: int) -> Float64[Tensor, " scales"]:
    """Return the paper's weights of the scales at which the window fits, summing to 1."""
    shortest, count = min(height, width), 0
    while count < len(WEIGHTS) and shortest >= WINDOW:
        shortest, count = -(-shortest // 2), count + 1
    if count == 0:
        raise ValueError(f"MS-SSIM needs images of {WINDOW} pixels or more, but got {(height, width)}")
    weights = torch.tensor(WEIGHTS[:count], dtype=torch.float64)
    return weights / weights.sum()


def describe_scales(height: int, width: int) -> str:
    """Say how many scales there are, and that their weights are stretched where it is not the paper's number."""
    count = len(scale_weights(height, width))
    return f"{count} scales" + ("" if count == len(WEIGHTS) else f" of {len(WEIGHTS)}, their weights made to sum to 1")


def describe_clamped(scores: Scores) -> list[str]:
    """Say of how many pairs a scale has structure of the opposite sign, whose power is taken as 0."""
    opposite = int((scores == 0).sum())
    return [f"{opposite} of {len(scores)} pairs have opposite structure at a scale and score 0"] if opposite else []


def _similarity(
    first: Float64[Tensor, "n c h w"],
    second: Float64[Tensor, "n c h w"],
    inside: Float64[Tensor, "n h w"],
    *,
    data_range: float,
) -> Float64[Tensor, " n"]:
    weights = scale_weights(first.shape[-2], first.shape[-1])
    product = torch.ones(len(first), dtype=torch.float64, device=first.device)
    edge = WINDOW // 2
    for scale, weight in enumerate(weights.tolist()):
        terms = local_terms(first, second, data_range=data_range)
        is_last = scale == len(weights) - 1
        maps = (terms.luminance * terms.contrast if is_last else terms.contrast).mean(1)
        similarity = weighted_mean(maps, inside[:, edge:-edge, edge:-edge])
        product = product * similarity.clamp_min(0) ** weight  # a negative number has no real power
        first, second, inside = _halve(first), _halve(second), _halve(inside[:, None])[:, 0]
    return product


def _halve(images: Float64[Tensor, "n c h w"]) -> Float64[Tensor, "n c i j"]:
    """Average 2 x 2 pixels; an odd last row or column is doubled."""
    odd = (0, images.shape[-1] % 2, 0, images.shape[-2] % 2)
    return torch.nn.functional.avg_pool2d(torch.nn.functional.pad(images, odd, mode="replicate"), 2)
