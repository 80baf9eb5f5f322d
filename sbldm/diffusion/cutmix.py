"""Latent CutMix: paste a box of one latent into another that lies equally deep in the body."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int64
from pydantic import Field
from scipy.special import betaincinv
from torch import Tensor

from sbldm.spec import Spec


class CutMixSpec(Spec):
    """Describe how often and how much is mixed; off by default."""

    probability: float = Field(0.0, ge=0, le=1)
    alpha: float = Field(1.0, gt=0)
    """The kept share is drawn from Beta(alpha, alpha)."""
    position_bins: int = Field(8, ge=1)
    """Partners come from the same of this many equal bins of slice position."""
    tell_network: bool = True
    """Flag mixed latents, so that the network need not sample their seams; at sampling the flag is 0."""


class Mixed(NamedTuple):
    """A batch after mixing: latents, their positions, and the flag the network is told (0 or 1)."""

    latents: Float[Tensor, "b c h w"]
    positions: Float[Tensor, " b"]
    flags: Float[Tensor, " b"]


class Boxes(NamedTuple):
    """One box per sample, half open and inside the image, and the share of the image it leaves."""

    top: Int64[Tensor, " b"]
    bottom: Int64[Tensor, " b"]
    left: Int64[Tensor, " b"]
    right: Int64[Tensor, " b"]
    kept: Float64[Tensor, " b"]


def cutmix(
    latents: Float[Tensor, "b c h w"], positions: Float[Tensor, " b"], spec: CutMixSpec, generator: torch.Generator
) -> Mixed:
    """Return latents in which some hold a box of a partner; positions are averaged by area.

    A sample alone in its bin keeps itself, unflagged. Nothing but the generator, on the CPU, decides the outcome.
    """
    height, width = latents.shape[-2:]
    chance, share, row, column, choice = torch.rand(5, len(latents), generator=generator, dtype=torch.float64)
    boxes = cut_boxes(beta_quantile(share, spec.alpha), row, column, height, width)
    partners = choose_partners(position_bins(positions, spec.position_bins), choice)
    own = torch.arange(len(latents))
    mixes = (chance < spec.probability) & (partners != own) & (boxes.kept < 1)
    partners = torch.where(mixes, partners, own).to(latents.device)
    inside = (box_masks(boxes, height, width) & mixes[:, None, None]).to(latents.device)
    kept = torch.where(mixes, boxes.kept, 1.0).to(positions)
    return Mixed(
        latents=torch.where(inside[:, None], latents[partners], latents),
        positions=kept * positions + (1 - kept) * positions[partners.to(positions.device)],
        flags=(mixes & spec.tell_network).to(latents),
    )


def beta_quantile(share: Float64[Tensor, " b"], alpha: float) -> Float64[Tensor, " b"]:
    """Return the values below which these shares of Beta(alpha, alpha) lie; uniform shares give draws."""
    return torch.from_numpy(betaincinv(alpha, alpha, share.numpy()))


def cut_boxes(
    kept: Float64[Tensor, " b"], row: Float64[Tensor, " b"], column: Float64[Tensor, " b"], height: int, width: int
) -> Boxes:
    """Return boxes of area about ``1 - kept``, clipped to the image, with the share they then really leave.

    Args:
        kept: wished share of the image outside the box.
        row: center of the box as a fraction of the height, in [0, 1).
        column: center of the box as a fraction of the width, in [0, 1).
        height: rows of the image.
        width: columns of the image.
    """
    side = (1 - kept).clamp_min(0).sqrt()
    top, bottom = _clipped_edges(side * height, row, height)
    left, right = _clipped_edges(side * width, column, width)
    area = (bottom - top) * (right - left)
    return Boxes(top, bottom, left, right, kept=1 - area.double() / (height * width))


def box_masks(boxes: Boxes, height: int, width: int) -> Bool[Tensor, "b h w"]:
    """Return where each box lies."""
    rows, columns = torch.arange(height)[None, :], torch.arange(width)[None, :]
    in_rows = (rows >= boxes.top[:, None]) & (rows < boxes.bottom[:, None])
    in_columns = (columns >= boxes.left[:, None]) & (columns < boxes.right[:, None])
    return in_rows[:, :, None] & in_columns[:, None, :]


def position_bins(positions: Float[Tensor, " b"], bins: int) -> Int64[Tensor, " b"]:
    """Return the bin of each position in [-1, 1], on the CPU; the ends belong to the outer bins."""
    return ((positions.detach().cpu().double() + 1) / 2 * bins).floor().long().clamp(0, bins - 1)


def choose_partners(bins: Int64[Tensor, " b"], choice: Float64[Tensor, " b"]) -> Int64[Tensor, " b"]:
    """Return for each sample another one of its bin, or itself if there is none, as ``choice`` in [0, 1) picks."""
    partners = torch.arange(len(bins))
    for index in range(len(bins)):
        others = ((bins == bins[index]) & (torch.arange(len(bins)) != index)).nonzero().flatten()
        if len(others):
            partners[index] = others[int(choice[index] * len(others))]
    return partners


def _clipped_edges(
    side: Float64[Tensor, " b"], center: Float64[Tensor, " b"], length: int
) -> tuple[Int64[Tensor, " b"], Int64[Tensor, " b"]]:
    whole = side.round()
    start = ((center * length).floor() - (whole / 2).floor()).long()
    return start.clamp(0, length), (start + whole.long()).clamp(0, length)
