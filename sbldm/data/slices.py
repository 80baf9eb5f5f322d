"""Prepared slices: what training, sampling and evaluation see of the data."""

import hashlib
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from sbldm.data.conditions import Conditions
from sbldm.data.split import PARTS
from sbldm.errors import DataError
from sbldm.spec import digest_of


@dataclass(frozen=True)
class SliceSet:
    """The prepared slices of one part of the split.

    Attributes:
        images: float32 in [-1, 1].
        labels: 0 background, 1.. classes; all zero when unlabelled.
        subjects: number of the patient inside this part, never a name.
        positions: along the slice axis, float32 in [-1, 1].
        label_names: names of classes 1..K.
        conditions: numbers that describe each slice, or None.
        spacing_mm: between the rows and between the columns of each slice; None where the source does not know.
    """

    images: Float[Tensor, "n 1 h w"]
    labels: UInt8[Tensor, "n h w"]
    subjects: Int64[Tensor, " n"]
    positions: Float[Tensor, " n"]
    label_names: tuple[str, ...]
    conditions: Conditions | None = None
    spacing_mm: Float[Tensor, "n 2"] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that disagree, and values out of range."""
        count, _, height, width = self.images.shape
        if self.labels.shape != (count, height, width):
            raise DataError(f"labels must be {(count, height, width)}, but got {tuple(self.labels.shape)}")
        if not len(self.subjects) == len(self.positions) == count:
            raise DataError(
                f"{count} slices need as many patients and positions, "
                f"but got {len(self.subjects)} and {len(self.positions)}"
            )
        if self.conditions is not None and len(self.conditions) != count:
            raise DataError(f"{count} slices need as many rows of conditions, but got {len(self.conditions)}")
        if count:
            _check_range("images", self.images)
            _check_range("positions", self.positions)
            if int(self.labels.max()) >= self.classes:
                raise DataError(f"labels must be at most {self.classes - 1}, but got {int(self.labels.max())}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def classes(self) -> int:
        """Return the number of classes, the background included."""
        return 1 + len(self.label_names)

    def digest(self) -> str:
        """Return 16 hex digits of what is learned from: same slices, same order, same digest, whatever the spacing."""
        content = hashlib.sha256(repr((tuple(self.images.shape), self.label_names)).encode())
        for tensor in (self.images, self.labels, self.subjects, self.positions):
            content.update(tensor.contiguous().numpy().data)
        if self.conditions is not None:
            content.update(self.conditions.digest().encode())
        return content.hexdigest()[:16]

    def select(self, index: Int64[Tensor, " m"] | Bool[Tensor, " n"] | slice) -> "SliceSet":
        """Return the slices at these places, given as numbers, a mask or a range."""
        return SliceSet(
            images=self.images[index],
            labels=self.labels[index],
            subjects=self.subjects[index],
            positions=self.positions[index],
            label_names=self.label_names,
            conditions=self.conditions.select(index) if self.conditions else None,
            spacing_mm=None if self.spacing_mm is None else self.spacing_mm[index],
        )

    @property
    def condition_names(self) -> tuple[str, ...]:
        """Return the names of the conditions, none where there are none."""
        return self.conditions.names if self.conditions else ()

    def without_conditions(self) -> "SliceSet":
        """Return the same slices, of which nothing is told."""
        return replace(self, conditions=None)


@dataclass(frozen=True)
class PreparedData:
    """All three parts, ready to train on; no name, path or header text in it."""

    train: SliceSet
    validation: SliceSet
    test: SliceSet
    split_digest: str

    def __post_init__(self) -> None:
        """Refuse an empty part and parts that are not alike."""
        parts = [self.train, self.validation, self.test]
        for name, part in zip(PARTS, parts, strict=True):
            if not len(part):
                raise DataError(f"each part of the split needs slices, but {name} has none; lower minimum_foreground")
        if len({(part.images.shape[1:], part.label_names, part.condition_names) for part in parts}) > 1:
            raise DataError("the parts of the split must share one image size, one list of labels and of conditions")

    @property
    def digest(self) -> str:
        """Return 16 hex digits of the content of all parts and of the split."""
        return digest_of([self.split_digest, self.train.digest(), self.validation.digest(), self.test.digest()])

    def summary(self) -> dict[str, object]:
        """Return what may be told to anyone: counts and digests, no names."""
        conditions = {"condition_names": list(self.train.condition_names)} if self.train.conditions else {}
        return {
            "digest": self.digest,
            "split_digest": self.split_digest,
            "size": self.train.images.shape[-1],
            "label_names": list(self.train.label_names),
            "parts": {name: _count(getattr(self, name)) for name in PARTS},
            **conditions,
        }


def _count(part: SliceSet) -> dict[str, object]:
    pixels = torch.bincount(part.labels.flatten(), minlength=part.classes)
    return {
        "patients": len(set(part.subjects.tolist())),
        "slices": len(part),
        "label_pixels": dict(zip(part.label_names, pixels[1:].tolist(), strict=True)),
    }


def _check_range(name: str, values: Tensor) -> None:
    low, high = (float(bound) for bound in values.aminmax())
    if not -1 <= low <= high <= 1:
        raise DataError(f"{name} must lie in [-1, 1], but got [{low:.6g}, {high:.6g}]")
