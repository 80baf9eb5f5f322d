"""Lesions of known place and size, grown into tissue as a fourth class."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from sbldm.data.sources.anatomy import Frame, draw_uniform, smooth_field
from sbldm.data.sources.base import Shown

LesionPlace = Literal["gm", "wm", "brain"]
LesionNumber = Literal["volume", "x", "y", "z", "extent", "area"]
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


def measure_lesions(
    lesion: Bool[Tensor, "z h w"], points: Float[Tensor, "z h w 3"], *, spacing_mm: tuple[float, float, float]
) -> dict[LesionNumber, Float[Tensor, " z"]]:
    """Return the size and place of all labelled lesion voxels together, one number per slice.

    ``volume`` in mm^3, center ``x``, ``y``, ``z`` in mm, ``extent``, the longest side of the box around them, in mm:
    the same for all slices of a patient. ``area`` in mm^2: of the slice itself. Without a lesion the sizes are 0 and
    the center is unknown, NaN.
    """
    slice_mm, row_mm, column_mm = spacing_mm
    where, voxel = points[lesion].double(), torch.tensor([column_mm, row_mm, slice_mm], dtype=torch.float64)
    x, y, z = where.mean(0).tolist() if len(where) else [math.nan] * 3
    extent = float((where.amax(0) - where.amin(0) + voxel).max()) if len(where) else 0.0
    of_slice = lesion.flatten(1).sum(1).float() * (row_mm * column_mm)
    return {
        "volume": torch.full_like(of_slice, len(where) * math.prod(spacing_mm)),
        "x": torch.full_like(of_slice, x),
        "y": torch.full_like(of_slice, y),
        "z": torch.full_like(of_slice, z),
        "extent": torch.full_like(of_slice, extent),
        "area": of_slice,
    }


def read_lesions(
    lesion: Bool[Tensor, "n h w"], points: Float[Tensor, "n h w 3"], *, pixel_mm: float, axis_mm: float
) -> dict[LesionNumber, Shown]:
    """Return what each slice alone shows of a patient's lesions.

    Args:
        lesion: where it is labelled.
        points: x, y, z of each pixel in mm.
        pixel_mm: side of a pixel.
        axis_mm: length of the slice axis: the number of slices times their spacing.
    """
    pixels = lesion.flatten(1).sum(1)
    area, present = pixels * pixel_mm**2, lesion[..., None]
    center = (points.double() * present).sum((1, 2)) / pixels[:, None]  # 0 / 0 is the NaN that is wanted
    span = points.where(present, -math.inf).amax((1, 2)) - points.where(present, math.inf).amin((1, 2))
    extent = torch.where(pixels > 0, span[:, :2].amax(1) + pixel_mm, math.nan)
    middle = "the middle of what the slice shows, which may be one of several lesions"
    return {
        "volume": Shown(
            area * axis_mm, "mm^3", "a slice's area times the length of the slice axis: right on average over slices"
        ),
        "x": Shown(center[:, 0].float(), "mm", middle),
        "y": Shown(center[:, 1].float(), "mm", middle),
        "z": Shown(center[:, 2].float(), "mm", "where slices that show one lie"),
        "extent": Shown(extent, "mm", "the longest side of what the slice shows, at most that of the whole"),
        "area": Shown(area, "mm^2", "of the slice"),
    }


def _blob(
    points: Float[Tensor, "z h w 3"], centre: Float[Tensor, " 3"], radius_mm: float, random: Generator
) -> Float[Tensor, "z h w"]:
    """Return a ball with an uneven surface; nothing of it lies more than a fifth outside the radius."""
    away = points - centre
    distance = away.norm(dim=-1)
    uneven = torch.tanh(smooth_field(away / distance[..., None].clamp(min=1e-3), 2.5, 1, random=random)[..., 0])
    return torch.sigmoid((radius_mm * (1 + 0.2 * uneven) - distance) / EDGE_MM)
