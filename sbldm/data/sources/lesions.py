"""Lesions of known place and size, grown into tissue as a fourth class."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from sbldm.data.sources.anatomy import Frame, draw_uniform, smooth_field

LesionPlace = Literal["gm", "wm", "brain"]
CENTRES = {"gm": (1,), "wm": (2,), "brain": (1, 2)}
EDGE_MM = 0.8  # width of the soft border
MOST = 3


def grow_lesions(
    tissues: Float[Tensor, "3 z h w"],
    frame: Frame,
    *,
    probability: float,
    radius_mm: tuple[float, float],
    place: LesionPlace,
    random: Generator,
) -> Float[Tensor, "4 z h w"]:
    """Append the lesion's share of each pixel, taken from grey and white matter; CSF stays as it is."""
    lesion = torch.zeros_like(tissues[0])
    candidates = (tissues[list(CENTRES[place])].sum(0) > 0.8).nonzero()
    if draw_uniform(random, 0.0, 1.0) < probability and len(candidates):
        points = frame.points(frame.size)
        for _ in range(1 + int(MOST * draw_uniform(random, 0.0, 1.0))):
            centre = points[tuple(candidates[int(len(candidates) * draw_uniform(random, 0.0, 1.0))])]
            radius = draw_uniform(random, *radius_mm)
            lesion = torch.maximum(lesion, _blob(points, centre, radius, random))
    taken = lesion * tissues[1:].sum(0)
    return torch.cat([tissues[:1], tissues[1:] * (1 - lesion), taken[None]])


def _blob(
    points: Float[Tensor, "z h w 3"], centre: Float[Tensor, " 3"], radius_mm: float, random: Generator
) -> Float[Tensor, "z h w"]:
    """Return a ball with an uneven surface; nothing of it lies more than a fifth outside the radius."""
    away = points - centre
    distance = away.norm(dim=-1)
    uneven = torch.tanh(smooth_field(away / distance[..., None].clamp(min=1e-3), 2.5, 1, random=random)[..., 0])
    return torch.sigmoid((radius_mm * (1 + 0.2 * uneven) - distance) / EDGE_MM)
