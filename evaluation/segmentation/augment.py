"""Classical augmentation: a little rotation, scale and shift of image and label map, then contrast and noise."""

import math

import torch
from jaxtyping import Float, UInt8
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

Batch = tuple[Float[Tensor, "b 1 h w"], UInt8[Tensor, "b h w"]]


class AugmentSettings(BaseModel):
    """Set how far each change may go; each slice draws its own, uniformly. 0 everywhere changes nothing."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, use_attribute_docstrings=True
    )

    rotation_degrees: float = Field(12.0, ge=0, le=180)
    """Largest turn to either side."""
    scale: float = Field(0.1, ge=0, lt=1)
    """Largest growth or shrinkage, as a share of the size."""
    shift: float = Field(0.05, ge=0, lt=1)
    """Largest shift along rows and along columns, as a share of the side."""
    flip_probability: float = Field(0.0, ge=0, le=1)
    """Of a left-right flip; 0 by default, for anatomy has sides."""
    brightness: float = Field(0.05, ge=0, le=1)
    """Largest gray value added or taken."""
    contrast: float = Field(0.15, ge=0, lt=1)
    """Largest change of contrast about the mean gray value of the slice, as a share."""
    gamma: float = Field(0.2, ge=0, le=2)
    """Gray values are raised to a power between exp(-gamma) and exp(gamma)."""
    noise: float = Field(0.03, ge=0, le=1)
    """Largest standard deviation of the noise added."""


def augment(
    images: Float[Tensor, "b 1 h w"], labels: UInt8[Tensor, "b h w"], settings: AugmentSettings, source: torch.Generator
) -> Batch:
    """Return changed images in [0, 1] and label maps of the same classes, moved alike.

    Each row takes as many numbers from the generator whatever the settings, so that two strengths share their luck.
    """
    images, labels = _move(images, labels, settings, source)
    return _shade(images, settings, source), labels


def _move(
    images: Float[Tensor, "b 1 h w"], labels: UInt8[Tensor, "b h w"], settings: AugmentSettings, source: torch.Generator
) -> Batch:
    """Read both at the moved places: images between pixels, labels at the nearest; what lies outside is background."""
    turn, growth, across, down, flip = torch.rand((5, len(images)), generator=source)
    angle = (2 * turn - 1) * math.radians(settings.rotation_degrees)
    scale = 1 + (2 * growth - 1) * settings.scale
    side = torch.where(flip < settings.flip_probability, -1.0, 1.0)
    ratio = images.shape[2] / images.shape[3]  # a turn of oblong images in pixels, not in shares of their sides
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = (
        torch.stack([cosine * side, sine * ratio, (2 * across - 1) * 2 * settings.shift], 1),
        torch.stack([-sine * side / ratio, cosine, (2 * down - 1) * 2 * settings.shift], 1),
    )
    if _stays(settings):
        return images, labels
    grid = nn.functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False).to(images)
    moved = nn.functional.grid_sample(images, grid, mode="bilinear", align_corners=False)
    classes = nn.functional.grid_sample(labels[:, None].to(images), grid, mode="nearest", align_corners=False)
    return moved.clamp(0, 1), classes[:, 0].to(torch.uint8)


def _stays(settings: AugmentSettings) -> bool:
    """Return whether nothing moves, so that interpolation at the very pixels need not round."""
    return not any((settings.rotation_degrees, settings.scale, settings.shift, settings.flip_probability))


def _shade(
    images: Float[Tensor, "b 1 h w"], settings: AugmentSettings, source: torch.Generator
) -> Float[Tensor, "b 1 h w"]:
    light, slope, power, spread = (2 * torch.rand((4, len(images), 1, 1, 1), generator=source) - 1).to(images)
    noise = torch.randn(images.shape, generator=source).to(images) * settings.noise * spread.abs()
    mean = images.mean((1, 2, 3), keepdim=True)
    shaded: Tensor = images + (images - mean) * slope * settings.contrast + light * settings.brightness
    bent = shaded.clamp(0, 1).pow(torch.exp(power * settings.gamma))
    noisy: Tensor = bent + noise
    return noisy.clamp(0, 1)
