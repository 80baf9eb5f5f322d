"""What crosses the boundary of the segmentation benchmark: labelled slices, and one score per patient and training."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from evaluation.types import ImageSet


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Slices with their label maps, each row with the number of its patient.

    Attributes:
        images: in [0, 1].
        labels: 0 background, 1.. classes.
        groups: the patient of each slice; a synthetic slice is a patient of its own.
        names: of classes 1, 2, ...
        spacing_mm: between the rows and between the columns of each slice, or None where it is unknown.
    """

    images: Float[Tensor, "n 1 h w"]
    labels: UInt8[Tensor, "n h w"]
    groups: Int64[Tensor, " n"]
    names: tuple[str, ...]
    spacing_mm: Float[Tensor, "n 2"] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that disagree, and values out of range."""
        ImageSet(self.images, self.groups)
        wanted = (len(self.images), *self.images.shape[2:])
        if self.labels.shape != wanted:
            raise ValueError(f"label maps must be {wanted}, as the images are, but got {tuple(self.labels.shape)}")
        if int(self.labels.max()) > len(self.names):
            raise ValueError(f"labels must be at most {len(self.names)}, but got {int(self.labels.max())}")
        if self.spacing_mm is not None and not bool(((self.spacing_mm > 0) & self.spacing_mm.isfinite()).all()):
            raise ValueError(f"spacing must be positive mm, but its smallest is {float(self.spacing_mm.min()):g}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def patients(self) -> int:
        """Count the distinct patients."""
        return len(torch.unique(self.groups))

    def select(self, index: Int64[Tensor, " m"]) -> "LabelledSet":
        """Return the slices at these places, in this order."""
        spacing = None if self.spacing_mm is None else self.spacing_mm[index]
        return LabelledSet(self.images[index], self.labels[index], self.groups[index], self.names, spacing)

    def of_patients(self, patients: Sequence[int]) -> "LabelledSet":
        """Return the slices of these patients, in their own order."""
        wanted = torch.isin(self.groups, torch.as_tensor(patients, dtype=torch.int64))
        return self.select(wanted.nonzero()[:, 0])


@dataclass(frozen=True)
class Score:
    """One number of one test patient under one trained segmenter.

    Attributes:
        arm: what the segmenter was trained on, such as ``real+synthetic``.
        fraction: share of the training patients it was allowed, in (0, 1].
        seed: of its weights, batches and patients.
        patient: number of the test patient.
        label: the class.
        metric: dice, iou, hd95 or lesion_f1.
        value: NaN where the rule of the metric leaves it undefined, such as Dice of two empty masks.
    """

    arm: str
    fraction: float
    seed: int
    patient: int
    label: str
    metric: str
    value: float
