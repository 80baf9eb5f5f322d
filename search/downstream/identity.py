"""Patients known by what they look like: the same slices under another number, or in another part, are found."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sbldm.data import SliceSet
from sbldm.errors import RunError
from sbldm.files import read_json, write_json

HEX_DIGITS = 16
LEVELS = 255
RECORD = "patients.json"


@dataclass(frozen=True)
class Patient:
    """One patient, named by the content of the slices.

    Attributes:
        digest: of all slices together, whatever their order and number.
        slices: digest of each image.
    """

    digest: str
    slices: frozenset[str]


Patients = tuple[Patient, ...]


def identify(slices: SliceSet) -> dict[int, Patient]:
    """Return who the patients of a part are, by their number in that part."""
    return identify_images((slices.images + 1) / 2, slices.subjects)


def identify_images(images: Float[Tensor, "n 1 h w"], groups: Int64[Tensor, " n"]) -> dict[int, Patient]:
    """Return who the patients of some images in [0, 1] are, by their number."""
    held: dict[int, set[str]] = {}
    for image, group in zip(images, groups.tolist(), strict=True):
        held.setdefault(group, set()).add(image_digest(image))
    return {group: _patient(found) for group, found in sorted(held.items())}


def image_digest(image: Float[Tensor, "1 h w"]) -> str:
    """Return hex digits that name an image in [0, 1] by its pixels at 8 bits: a copy through a PNG file is found."""
    levels = (image.double() * LEVELS).round().to(torch.uint8)
    return hashlib.sha256(levels.contiguous().numpy().data).hexdigest()[:HEX_DIGITS]


def shared(one: Iterable[Patient], other: Iterable[Patient]) -> int:
    """Count the patients of one side who have a slice in common with the other side."""
    known = frozenset().union(*(patient.slices for patient in other))
    return sum(not patient.slices.isdisjoint(known) for patient in one)


def strangers(one: Iterable[Patient], other: Iterable[Patient]) -> int:
    """Count the patients of one side with a slice that the other side does not hold."""
    known = frozenset().union(*(patient.slices for patient in other))
    return sum(not patient.slices <= known for patient in one)


def to_record(patients: Iterable[Patient]) -> dict[str, list[str]]:
    """Return patients as JSON values, to be kept with what was trained on them."""
    return {patient.digest: sorted(patient.slices) for patient in patients}


def from_record(record: Mapping[str, Iterable[str]]) -> Patients:
    """Return the patients that ``to_record`` wrote.

    Raises:
        RunError: a digest does not belong to its slices.
    """
    patients = tuple(_patient(set(slices)) for slices in record.values())
    if [patient.digest for patient in patients] != list(record):
        raise RunError("the record of training patients was altered: a patient's digest differs from its slices")
    return patients


def keep_patients(folder: Path, slices: SliceSet) -> None:
    """Write whose slices a stage learned from beside what it learned; digests only."""
    write_json(folder / RECORD, to_record(identify(slices).values()))


def recall_patients(folder: Path) -> Patients | None:
    """Return whose slices were learned from, or None where that was not recorded."""
    return from_record(read_json(folder / RECORD)) if (folder / RECORD).exists() else None


def _patient(slices: set[str]) -> Patient:
    return Patient(hashlib.sha256(" ".join(sorted(slices)).encode()).hexdigest()[:HEX_DIGITS], frozenset(slices))
