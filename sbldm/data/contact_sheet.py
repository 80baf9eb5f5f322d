"""Many slices in one picture, to look at before believing any number."""

import colorsys

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sbldm.data.slices import SliceSet

OVERLAY = 0.45  # strength of the label color over the image


def contact_sheet(data: SliceSet, *, columns: int = 8, rows: int = 4) -> Float[Tensor, "3 height width"]:
    """Return evenly chosen slices as an RGB picture in [0, 1]; labelled slices appear again below, in color."""
    count = min(len(data), columns * rows)
    chosen = data.select(torch.linspace(0, len(data) - 1, count).round().long())
    grey = ((chosen.images + 1) / 2).expand(-1, 3, -1, -1)
    plain = _tile(grey, columns)
    if not data.label_names:
        return plain
    return torch.cat([plain, _tile(_overlay(grey, chosen.labels, data.classes), columns)], dim=1)


def _overlay(grey: Float[Tensor, "n 3 h w"], labels: UInt8[Tensor, "n h w"], classes: int) -> Float[Tensor, "n 3 h w"]:
    hues = [colorsys.hsv_to_rgb(index / (classes - 1), 0.9, 1.0) for index in range(classes - 1)]
    colors = torch.tensor([(0.0, 0.0, 0.0), *hues])[labels.long()].movedim(-1, 1)
    return torch.where(labels[:, None] > 0, (1 - OVERLAY) * grey + OVERLAY * colors, grey)


def _tile(pictures: Float[Tensor, "n 3 h w"], columns: int) -> Float[Tensor, "3 height width"]:
    """Lay pictures row by row; places left over are black."""
    count, channels, height, width = pictures.shape
    rows = -(-count // columns)
    filled = torch.cat([pictures, pictures.new_zeros(rows * columns - count, channels, height, width)])
    grid = filled.reshape(rows, columns, channels, height, width)
    return grid.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)
