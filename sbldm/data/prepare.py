"""Volumes to slices: one range, one size, one split; patients become numbers."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from sbldm.data.conditions import Conditions, ConditionTable, read_conditions
from sbldm.data.slices import PreparedData, SliceSet
from sbldm.data.sources.base import SourceSpec
from sbldm.data.split import PARTS, SplitSpec, split_subjects
from sbldm.data.subject import Subject
from sbldm.data.volume import Volume
from sbldm.errors import DataError
from sbldm.spec import Spec

FOREGROUND = -0.9  # scaled intensity above which a pixel shows tissue


class PrepareSpec(Spec):
    """Say how volumes become slices."""

    size: int = Field(default=64, ge=16, le=1024)
    """Height and width of a slice."""
    low_percentile: float = Field(default=0.5, ge=0, lt=50)
    """Of the foreground voxels of a volume: what is at or below it becomes -1."""
    high_percentile: float = Field(default=99.5, gt=50, le=100)
    """What is at or above it becomes 1."""
    minimum_foreground: float = Field(default=0.05, ge=0, lt=1)
    """Slices with a smaller share of foreground are dropped, and counted."""
    keep: Literal["tissue", "labelled"] = "tissue"
    """labelled: only slices that show a label."""
    positions: tuple[float, float] = (-1.0, 1.0)
    """Only slices between these places along the slice axis, from -1 at the first slice to 1 at the last."""
    slices_per_subject: int | None = Field(default=None, ge=1)
    """Keep so many of a patient's slices, evenly spread; None keeps all."""

    @model_validator(mode="after")
    def _percentiles_ascend(self) -> "PrepareSpec":
        if not self.low_percentile < self.high_percentile:
            raise ValueError(
                "low_percentile must be below high_percentile,"
                f" but got {self.low_percentile} and {self.high_percentile}"
            )
        if not -1 <= self.positions[0] < self.positions[1] <= 1:
            raise ValueError(f"positions must ascend within [-1, 1], but got {self.positions}")
        return self


@dataclass(frozen=True)
class PrepareStep:
    """One patient more is prepared; the last step carries the data."""

    done: int
    total: int
    dropped_slices: int
    data: PreparedData | None = None


@dataclass(frozen=True)
class _Patient:
    images: Float[Tensor, "n 1 h w"]
    labels: UInt8[Tensor, "n h w"]
    positions: Float[Tensor, " n"]
    conditions: Float[Tensor, "n k"]
    dropped: int
    spacing_mm: tuple[float, float]


def prepare_steps(source: SourceSpec, *, prepare: PrepareSpec, split: SplitSpec) -> Iterator[PrepareStep]:
    """Read and prepare one patient after the other; the last step carries the data.

    Raises:
        DataError: a file is unsuitable, no slice is left, or one slice is in two parts of the split.
    """
    subjects = source.subjects()
    parts = split_subjects([subject.id for subject in subjects], split)
    table = read_conditions(source.conditions) if source.conditions else None
    if table:
        table.check_patients([subject.id for subject in subjects])
    done: dict[str, _Patient] = {}
    for subject in subjects:
        done[subject.id] = _prepare_patient(source.read(subject), subject, prepare, table)
        dropped = sum(patient.dropped for patient in done.values())
        if len(done) < len(subjects):
            yield PrepareStep(len(done), len(subjects), dropped)
    names, told = source.label_names, (*source.known_names, *(table.names if table else ()))
    sets = {part: _join([done[id_] for id_ in getattr(parts, part)], names, told) for part in PARTS}
    if not source.knows_spacing:
        sets = {part: replace(slices, spacing_mm=None) for part, slices in sets.items()}
    _refuse_shared_slices(sets)
    yield PrepareStep(len(done), len(done), dropped, PreparedData(**sets, split_digest=parts.digest))


def prepare_data(source: SourceSpec, *, prepare: PrepareSpec, split: SplitSpec) -> PreparedData:
    """Return the prepared data, without word of the progress."""
    for step in prepare_steps(source, prepare=prepare, split=split):
        data = step.data
    assert data is not None, "the last step carries the data"
    return data


def _prepare_patient(volume: Volume, subject: Subject, spec: PrepareSpec, table: ConditionTable | None) -> _Patient:
    if volume.image.min() == volume.image.max():
        raise DataError(
            f"{subject.id}: a volume must show something, but every voxel is {float(volume.image.min()):.6g}"
        )
    scaled = _scale(volume.image, spec)
    labels = torch.zeros_like(scaled, dtype=torch.uint8) if volume.labels is None else volume.labels
    kept = _worth_keeping(scaled, labels, volume.position, spec).nonzero().flatten()
    chosen = kept if spec.slices_per_subject is None else _spread(kept, spec.slices_per_subject)
    positions = volume.position[chosen]
    known = torch.zeros(len(chosen), 0) if volume.known is None else volume.known[chosen]
    told = table.of_slices(subject.id, positions) if table else torch.zeros(len(chosen), 0)
    return _Patient(
        images=_resize(_square(scaled[chosen], -1.0, volume.spacing_mm), spec.size)[:, None].clamp(-1, 1),
        labels=_resize_labels(_square(labels[chosen], 0.0, volume.spacing_mm), spec.size),
        positions=positions,
        conditions=torch.cat([known, told], dim=1),
        dropped=len(scaled) - len(kept),
        spacing_mm=_final_spacing(volume, spec.size),
    )


def _worth_keeping(
    scaled: Float[Tensor, "z h w"], labels: UInt8[Tensor, "z h w"], position: Float[Tensor, " z"], spec: PrepareSpec
) -> Bool[Tensor, " z"]:
    """Say of each slice whether it shows enough, in the right place."""
    shown = (scaled > FOREGROUND).flatten(1).float().mean(1)
    enough = (shown > 0) & (shown >= spec.minimum_foreground)
    inside = (position >= spec.positions[0]) & (position <= spec.positions[1])
    labelled = (labels > 0).flatten(1).any(1) if spec.keep == "labelled" else torch.ones_like(enough)
    return enough & inside & labelled


def _scale(image: Float[Tensor, "z h w"], spec: PrepareSpec) -> Float[Tensor, "z h w"]:
    """Map the volume's own percentiles, taken over what is brighter than its darkest value, to [-1, 1]."""
    values = image.double()
    foreground = values[values > values.min()]
    low, high = (_percentile(foreground, share) for share in (spec.low_percentile, spec.high_percentile))
    if low >= high:
        low, high = values.min(), values.max()
    bottom = torch.minimum(low, values.min()) if spec.low_percentile == 0 else low
    return (((values - bottom) / (high - bottom)).clamp(0, 1) * 2 - 1).float()


def _percentile(values: Tensor, share: float) -> Tensor:
    rank = 1 + round(share / 100 * (len(values) - 1))
    return values.kthvalue(rank).values


def _spread(kept: Int64[Tensor, " n"], count: int) -> Int64[Tensor, " m"]:
    if len(kept) <= count:
        return kept
    return kept[torch.linspace(0, len(kept) - 1, count).round().long()]


def _square(slices: Tensor, fill: float, spacing_mm: tuple[float, float, float]) -> Tensor:
    """Pad evenly to a field of view that is square in mm; its pixels need not be."""
    height, width = slices.shape[-2:]
    rows, columns = _square_shape(height, width, spacing_mm)
    top, left = (rows - height) // 2, (columns - width) // 2
    return functional.pad(slices, (left, columns - width - left, top, rows - height - top), value=fill)


def _square_shape(height: int, width: int, spacing_mm: tuple[float, float, float]) -> tuple[int, int]:
    _, row_mm, column_mm = spacing_mm
    side_mm = max(height * row_mm, width * column_mm)
    return max(height, round(side_mm / row_mm)), max(width, round(side_mm / column_mm))


def _final_spacing(volume: Volume, size: int) -> tuple[float, float]:
    """Return how far apart rows and columns are, in mm, once the volume is padded and resized."""
    _, height, width = volume.image.shape
    rows, columns = _square_shape(height, width, volume.spacing_mm)
    return rows * volume.spacing_mm[1] / size, columns * volume.spacing_mm[2] / size


def _resize(slices: Float[Tensor, "n h w"], size: int) -> Float[Tensor, "n size size"]:
    if slices.shape[-2:] == (size, size) or len(slices) == 0:
        return slices.reshape(len(slices), size, size)
    resized = functional.interpolate(slices[:, None], size=(size, size), mode="bilinear", antialias=True)
    return resized[:, 0]


def _resize_labels(labels: UInt8[Tensor, "n h w"], size: int) -> UInt8[Tensor, "n size size"]:
    """Give each pixel the class with the largest share of its area."""
    if labels.shape[-2:] == (size, size) or len(labels) == 0:
        return labels.reshape(len(labels), size, size)
    down, across = (_overlaps(length, size) for length in labels.shape[-2:])
    areas = torch.stack([down @ (labels == value).float() @ across.T for value in range(int(labels.max()) + 1)])
    return areas.argmax(0).to(torch.uint8)


def _overlaps(before: int, after: int) -> Float[Tensor, "after before"]:
    """Return how much of each old pixel lies in each new one; whole numbers, so that ties are exact."""
    old, new = torch.arange(before) * after, torch.arange(after)[:, None] * before
    return (torch.minimum(old + after, new + before) - torch.maximum(old, new)).clamp(min=0).float()


def _join(patients: list[_Patient], label_names: tuple[str, ...], condition_names: tuple[str, ...]) -> SliceSet:
    conditions = torch.cat([patient.conditions for patient in patients])
    counts = torch.tensor([len(patient.images) for patient in patients])
    return SliceSet(
        images=torch.cat([patient.images for patient in patients]),
        labels=torch.cat([patient.labels for patient in patients]),
        subjects=torch.arange(len(patients)).repeat_interleave(counts),
        positions=torch.cat([patient.positions for patient in patients]),
        label_names=label_names,
        conditions=Conditions(condition_names, conditions) if condition_names else None,
        spacing_mm=torch.tensor([patient.spacing_mm for patient in patients]).repeat_interleave(counts, dim=0),
    )


def _refuse_shared_slices(sets: Mapping[str, SliceSet]) -> None:
    """Refuse one slice under two patients: it would be trained on and tested on, or counted as two people."""
    owner: dict[str, tuple[str, int]] = {}
    for part, slices in sets.items():
        for image, subject in zip(slices.images, slices.subjects.tolist(), strict=True):
            digest = hashlib.sha256(image.numpy().data).hexdigest()
            first = owner.setdefault(digest, (part, subject))
            if first != (part, subject):
                raise DataError(
                    f"a slice must belong to one patient, but one is in two ({first[0]} and {part});"
                    " one patient may be there under two names, or a file twice"
                )
