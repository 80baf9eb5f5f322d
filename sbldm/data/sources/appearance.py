"""From tissue to intensity: contrast, texture, coil shading, gamma, Rician noise."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional

from sbldm.data.sources.anatomy import Frame, band_noise, draw_normal, draw_uniform, smooth_field

Contrast = Literal["t1", "flair"]
MEANS = {"t1": (0.20, 0.54, 0.78, 0.40), "flair": (0.12, 0.60, 0.45, 0.92)}  # CSF, GM, WM, lesion
DETAIL = {"t1": 0.8, "flair": -0.4}  # how strongly the T1 detail of the template shows
SHADING_LATTICE = 12


def render(
    tissues: Float[Tensor, "4 z h w"],
    detail: Float[Tensor, "z h w"],
    frame: Frame,
    *,
    contrast: Contrast,
    random: Generator,
) -> Float[Tensor, "z h w"]:
    """Return the image of these tissues, about 0 to 1, zero outside the brain."""
    means = torch.tensor(MEANS[contrast]) + 0.03 * torch.randn(4, generator=random).clamp(-2.5, 2.5)
    image = torch.einsum("k,kzhw->zhw", means, tissues)
    image = image + DETAIL[contrast] * draw_uniform(random, 0.6, 1.2) * detail * (1 - tissues[3])
    image = image * (1 + 0.03 * band_noise(frame, 6.0, random)) * _shading(frame, random)
    image = image.clamp(min=0) ** draw_uniform(random, 0.88, 1.14)
    return _rician(image, draw_uniform(random, 0.008, 0.025), random) * (tissues.sum(0) > 0.5)


def _shading(frame: Frame, random: Generator) -> Float[Tensor, "z h w"]:
    """Return a receive field that varies over about the width of a head."""
    log_field = smooth_field(frame.points(SHADING_LATTICE), 220.0, 1, random=random).movedim(-1, 1)
    field = torch.exp(abs(draw_normal(random, 0.0, 0.08)) * log_field)
    return functional.interpolate(field, size=(frame.size, frame.size), mode="bicubic", align_corners=True)[:, 0]


def _rician(image: Float[Tensor, "z h w"], noise: float, random: Generator) -> Float[Tensor, "z h w"]:
    """Return the magnitude of the image with complex noise (Gudbjartsson & Patz 1995)."""
    real, imaginary = noise * torch.randn(2, *image.shape, generator=random)
    return torch.hypot(image + real, imaginary)
