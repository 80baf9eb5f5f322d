"""Lay one image over another: the left-right flip and the whole-pixel shift that leave the smallest difference."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

REACH = 1 / 8  # the largest shift, as a part of the side
PAIRS = 256  # registered at once


@dataclass(frozen=True, eq=False)
class Registration:
    """How each moving image comes to lie on its fixed one: flipped first, then shifted down and right.

    Args:
        shift: whole pixels, rows and columns.
        distance: root mean square difference where both images are seen, in units of intensity.
    """

    flipped: Bool[Tensor, " n"]
    shift: Int64[Tensor, "n 2"]
    distance: Float64[Tensor, " n"]


def register(
    fixed: Float[Tensor, "n c h w"], moving: Float[Tensor, "n c h w"], *, reach: float = REACH
) -> Registration:
    """Find for each pair the flip and the shift with the least mean square difference over what both show.

    All shifts are tried at once: with masks M the summed square is corr(fixed^2, M) + corr(M, moving^2)
    - 2 corr(fixed, moving), each a product of Fourier transforms. Phase correlation finds the same shift,
    but not the difference that is left.
    """
    if not 0 <= reach < 1:
        raise ValueError(f"reach must be a part of the side, 0 or more and below 1, but got {reach=}")
    pairs = zip(torch.split(fixed, PAIRS), torch.split(moving, PAIRS), strict=True)
    parts = [_register(first.double(), second.double(), reach) for first, second in pairs]
    return Registration(*(torch.cat(found) for found in zip(*parts, strict=True)))


def move(moving: Float[Tensor, "n c h w"], found: Registration) -> Float[Tensor, "n c h w"]:
    """Flip and shift the images as found; NaN where nothing is known."""
    turned = torch.where(found.flipped.view(-1, 1, 1, 1), moving.flip(-1), moving)
    shifts = found.shift.tolist()
    return torch.stack([_shift(image, down, right) for image, (down, right) in zip(turned, shifts, strict=True)])


def _register(
    fixed: Float64[Tensor, "n c h w"], moving: Float64[Tensor, "n c h w"], reach: float
) -> tuple[Bool[Tensor, " n"], Int64[Tensor, "n 2"], Float64[Tensor, " n"]]:
    down, right = (int(reach * side) for side in fixed.shape[-2:])
    errors = torch.stack([_errors(fixed, turned, down, right) for turned in (moving, moving.flip(-1))], dim=1)
    best = errors.flatten(1).argmin(1)
    flip, row, column = torch.unravel_index(best, errors.shape[1:])
    shift = torch.stack([row - down, column - right], dim=1)
    found = Registration(flip == 1, shift, torch.zeros(len(fixed), dtype=torch.float64))
    left = (fixed - move(moving, found)).square()  # once more without the rounding of the transforms
    return found.flipped, shift, left.nanmean((1, 2, 3)).sqrt()


def _errors(
    fixed: Float64[Tensor, "n c h w"], moving: Float64[Tensor, "n c h w"], down: int, right: int
) -> Float64[Tensor, "n i j"]:
    """Return the mean square difference for shifts from -down to down and from -right to right."""
    height, width = fixed.shape[-2:]
    padded = (height + down, width + right)  # so far a shifted image does not come back on the other side
    mask = torch.fft.rfft2(torch.ones(height, width, dtype=torch.float64, device=fixed.device), s=padded)
    a, b = (torch.fft.rfft2(images, s=padded) for images in (fixed, moving))
    a2, b2 = (torch.fft.rfft2(images.square().sum(1), s=padded) for images in (fixed, moving))
    sums: Tensor = torch.fft.irfft2(a2 * mask.conj() + mask * b2.conj() - 2 * (a * b.conj()).sum(1), s=padded)
    rows, columns = torch.arange(-down, down + 1), torch.arange(-right, right + 1)
    seen = (height - rows.abs())[:, None] * (width - columns.abs())[None, :]
    return sums[:, rows][:, :, columns].clamp(min=0) / (seen.to(sums.device) * fixed.shape[1])


def _shift(image: Float[Tensor, "c h w"], down: int, right: int) -> Float[Tensor, "c h w"]:
    height, width = image.shape[-2:]
    moved = torch.full_like(image, torch.nan)
    kept = image[:, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    moved[:, max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = kept
    return moved
