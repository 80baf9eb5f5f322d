"""Stored values to gray in [0, 1]: by type or by a stated range, the same rule for all files of one side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from sbldm.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Part:
    """What one file holds: slices as stored, (slice, row, column), and the patient of each."""

    path: Path
    slices: Array
    owners: list[str]


def to_unit_range(
    parts: Sequence[Part], value_range: tuple[float, float] | None
) -> tuple[Float32[Tensor, "n 1 h w"], str]:
    """Return all slices in [0, 1], and in words how.

    Raises:
        DataError: sizes or types are mixed, or no rule says which values are 0 and 1.
    """
    _check(parts, value_range)
    scaled = list(_apply_range(parts, value_range) if value_range else map(_by_type, parts))
    pixels = np.concatenate([slices for slices, _ in scaled]).astype(np.float32)
    clipped = float(np.average([share for _, share in scaled], weights=[len(slices) for slices, _ in scaled]))
    words = _describe(parts, value_range, clipped)
    return torch.from_numpy(pixels.clip(0, 1)[:, None]), words


def _apply_range(parts: Sequence[Part], value_range: tuple[float, float]) -> Iterator[tuple[Array, float]]:
    """Yield the slices of each file on the stated range, and the share of their pixels that it clips."""
    low, high = value_range
    for part in parts:
        values = part.slices.astype(np.float64)
        yield (values - low) / (high - low), float(((values < low) | (values > high)).mean())


def _by_type(part: Part) -> tuple[Array, float]:
    """Return 8 bit levels over 255, and floating point as it is where it lies in [0, 1]; nothing else has a rule."""
    slices = part.slices
    if slices.dtype == np.uint8:
        return slices / 255.0, 0.0
    if slices.dtype.kind != "f":
        raise DataError(f"{part.path}: values of type {slices.dtype} have no agreed range; state one as LOW,HIGH")
    low, high = float(slices.min()), float(slices.max())
    if low < 0 or high > 1:
        raise DataError(
            f"{part.path}: values must lie in [0, 1], but span [{low:.6g}, {high:.6g}]; state a value range LOW,HIGH"
        )
    return slices, 0.0


def _describe(parts: Sequence[Part], value_range: tuple[float, float] | None, clipped: float) -> str:
    if value_range:
        return f"{value_range[0]:g} becomes 0 and {value_range[1]:g} becomes 1; {100 * clipped:.2g} % of pixels clipped"
    return "8 bit, divided by 255" if parts[0].slices.dtype == np.uint8 else "as stored, in [0, 1]"


def _check(parts: Sequence[Part], value_range: tuple[float, float] | None) -> None:
    """Refuse files that do not go together."""
    first = parts[0]
    for part in parts:
        if part.slices.shape[1:] != first.slices.shape[1:]:
            sizes = [" x ".join(map(str, each.slices.shape[1:])) for each in (part, first)]
            raise DataError(f"{part.path}: images must share one size, but this is {sizes[0]} and others {sizes[1]}")
        if part.slices.dtype != first.slices.dtype and value_range is None:
            raise DataError(
                f"{part.path}: files must share one type of values, but this is {part.slices.dtype} and others"
                f" {first.slices.dtype}; state a value range LOW,HIGH"
            )
        if not np.isfinite(part.slices).all():
            raise DataError(f"{part.path}: values must be finite, but some are NaN or infinite")
