"""One patient's images as a source reads them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sbldm.errors import DataError

MOST_UNLIKE = 20  # beyond this a pixel's sides are an error in the header


@dataclass(frozen=True)
class Volume:
    """One patient, slices first, before any preparation.

    Attributes:
        image: raw intensities, float32, any finite range.
        labels: 0 background, 1.. classes; None when the source is unlabelled.
        spacing_mm: between slices, between rows, between columns.
        position: where each slice lies along the slice axis, in [-1, 1].
        known: what the source itself knows of each slice, under its ``known_names``; NaN where it does not.
    """

    image: Float[Tensor, "z h w"]
    labels: UInt8[Tensor, "z h w"] | None
    spacing_mm: tuple[float, float, float]
    position: Float[Tensor, " z"]
    known: Float[Tensor, "z k"] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that disagree."""
        if self.image.ndim != 3 or 0 in self.image.shape:
            raise DataError(f"a volume must be slices x rows x columns, but got {tuple(self.image.shape)}")
        if self.labels is not None and self.labels.shape != self.image.shape:
            raise DataError(
                f"labels must have the image's shape {tuple(self.image.shape)}, but got {tuple(self.labels.shape)}"
            )
        if self.position.shape != self.image.shape[:1]:
            raise DataError(
                f"there must be one position per slice, but got {len(self.position)} for {len(self.image)} slices"
            )
        _, row_mm, column_mm = self.spacing_mm
        if not (min(self.spacing_mm) > 0 and max(row_mm, column_mm) <= MOST_UNLIKE * min(row_mm, column_mm)):
            raise DataError(
                f"spacing must be above 0 mm, and that of rows within {MOST_UNLIKE} times that of columns,"
                f" but got {self.spacing_mm}"
            )


def even_positions(slices: int) -> Float[Tensor, " z"]:
    """Return positions from -1 to 1 for evenly spaced slices; a lone slice lies at 0."""
    return torch.linspace(-1, 1, slices) if slices > 1 else torch.zeros(1)
