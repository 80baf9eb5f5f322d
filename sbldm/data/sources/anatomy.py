"""Random but reproducible differences between phantom patients: shape first, then tissue."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional

from sbldm.data.sources.template import Template

LATTICE = 48  # the warp is smooth, so it is computed on this many points a side and interpolated
WAVES = ((130.0, 3.2), (55.0, 1.8), (24.0, 0.8))  # wavelength and strength of the displacement, both mm
WAVES_PER_SCALE = 10


@dataclass(frozen=True)
class Frame:
    """The slices of one patient in scanner millimetres; rows run from the front to the back of the head."""

    size: int
    fov_mm: float
    z_mm: Float[Tensor, " z"]

    def points(self, side: int) -> Float[Tensor, "z side side 3"]:
        """Return x, y, z of a grid whose outer points are those of the outer pixels."""
        reach = self.fov_mm / 2 * (1 - 1 / self.size)
        line = torch.linspace(-reach, reach, side)
        z, y, x = torch.meshgrid(self.z_mm, -line - 17, line, indexing="ij")  # the brain's middle is y = -17
        return torch.stack([x, y, z], dim=-1)


def warp(frame: Frame, template: Template, *, deformation: float, random: Generator) -> Float[Tensor, "z h w 3"]:
    """Return where in the average brain each pixel of this patient lies, in MNI mm."""
    points = _affine(frame.points(LATTICE), deformation, random)
    for wavelength, strength in WAVES:
        points = points + deformation * strength * smooth_field(points, wavelength, 3, random=random)
    widening = template.sample(template.widening, points).movedim(0, -1)
    points = points + deformation * draw_normal(random, 1.0, 4.0, limit=2.0) * widening
    return functional.interpolate(
        points.movedim(-1, 1), size=(frame.size, frame.size), mode="bicubic", align_corners=True
    ).movedim(1, -1)


def smooth_field(
    points: Float[Tensor, "*s 3"], wavelength_mm: float, channels: int, *, random: Generator
) -> Float[Tensor, "*s channels"]:
    """Return a random smooth field of unit variance: a sum of plane waves of about this length."""
    direction = functional.normalize(torch.randn(WAVES_PER_SCALE, 3, generator=random), dim=-1)
    number = 2 * math.pi / wavelength_mm * (0.7 + 0.6 * torch.rand(WAVES_PER_SCALE, 1, generator=random))
    phase = 2 * math.pi * torch.rand(WAVES_PER_SCALE, generator=random)
    weight = torch.randn(WAVES_PER_SCALE, channels, generator=random) * math.sqrt(2 / WAVES_PER_SCALE)
    return torch.cos(points @ (direction * number).T + phase) @ weight


def tissue_probabilities(
    average: Float[Tensor, "3 z h w"], frame: Frame, *, deformation: float, random: Generator
) -> Float[Tensor, "3 z h w"]:
    """Turn the blurred average into one patient's CSF, GM and WM; they sum to the brain's share of a pixel."""
    brain = average.sum(0).clamp(max=1)
    logits = draw_uniform(random, 1.6, 2.4) * torch.log(average + 1e-3)
    # The average has lost the finer folds: push the borders of grey matter with band-limited noise.
    folds = deformation * band_noise(frame, 7.0, random)
    shift = torch.stack([0.9 * folds + deformation * draw_normal(random, 0.0, 0.35), 0 * folds, -0.7 * folds])
    return torch.softmax(logits + shift, dim=0) * brain


def band_noise(frame: Frame, grain_mm: float, random: Generator) -> Float[Tensor, "z h w"]:
    """Return noise of about unit variance whose blobs are this large in all three directions."""
    low, high = float(frame.z_mm.min()), float(frame.z_mm.max())
    layers, side = math.ceil((high - low) / grain_mm) + 2, math.ceil(frame.fov_mm / grain_mm) + 1
    coarse = functional.interpolate(
        torch.randn(1, layers, side, side, generator=random),
        size=(frame.size, frame.size),
        mode="bicubic",
        align_corners=True,
    )[0]
    place = (frame.z_mm - low) / grain_mm
    below = place.long()
    share = (place - below)[:, None, None]
    mixed = (1 - share) * coarse[below] + share * coarse[below + 1]
    return mixed / torch.sqrt(share**2 + (1 - share) ** 2)


def draw_uniform(random: Generator, low: float, high: float) -> float:
    """Return one uniform number."""
    return low + (high - low) * float(torch.rand((), generator=random))


def draw_normal(random: Generator, mean: float, deviation: float, *, limit: float = 2.5) -> float:
    """Return one normal number, held within ``limit`` deviations so that no patient is a monster."""
    return mean + deviation * float(torch.randn((), generator=random).clamp(-limit, limit))


def _affine(points: Float[Tensor, "*s 3"], deformation: float, random: Generator) -> Float[Tensor, "*s 3"]:
    angles = deformation * 0.05 * torch.randn(3, generator=random).clamp(-2.5, 2.5)
    scale = 1 + deformation * (0.045 * torch.randn(3, generator=random)).clamp(-0.11, 0.11)
    shift = deformation * torch.tensor([2.0, 2.5, 2.5]) * torch.randn(3, generator=random).clamp(-2.5, 2.5)
    side = torch.tensor([-1.0 if float(torch.rand((), generator=random)) < 0.5 else 1.0, 1.0, 1.0])
    skew = torch.zeros(3, 3)
    skew[0, 1], skew[0, 2], skew[1, 2] = -angles[2], angles[1], -angles[0]
    rotation = torch.matrix_exp(skew - skew.T)
    middle = torch.tensor([0.0, -17.0, 10.0])
    return ((points - middle) @ rotation.T) * scale * side + middle + shift
