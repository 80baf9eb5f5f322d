"""Slices as PNG, TIFF or npz files, with an explicit rule that says whose they are."""

import csv
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import Field, field_validator

from sbldm.data.sources.base import SOURCES, SourceSpec
from sbldm.data.sources.files import check_root, find_files, fingerprint, read_file, refuse_twins
from sbldm.data.sources.pixels import read_arrays, read_image, read_label_map
from sbldm.data.subject import Subject
from sbldm.data.volume import Volume, even_positions
from sbldm.errors import DataError

ENDINGS = (".png", ".tif", ".tiff", ".npz")
MOST_LABELS = 254
Array = np.ndarray[Any, np.dtype[Any]]


@SOURCES.register
class FolderSpec(SourceSpec):
    """Read slices in the order of their names; the patient comes from ``patient_regex`` or ``patient_csv``."""

    kind: Literal["folder"] = "folder"
    root: Path = Path("data")
    """Folder of the images, searched with all folders below it."""
    patient_regex: str = ""
    """Its one group is the patient, e.g. ``(sub-[0-9]+)``, searched in the path below ``root``."""
    patient_csv: Path | None = None
    """Columns ``file`` (path below ``root``) and ``patient``, instead of a regular expression."""
    labels: str = "labels"
    """Folder below ``root`` with label maps of the same relative path; its files are no images."""
    names: tuple[str, ...] = ()
    """Names of the labels in order of their value; by default label_<value>."""
    pixel_mm: float | None = Field(default=None, gt=0)
    """Side of a pixel, where it is known; distances are then told in mm."""

    @field_validator("patient_regex")
    @classmethod
    def _has_one_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups if pattern else 1
        except re.error as error:
            raise ValueError(f"patient_regex must be a regular expression ({error}), but got {pattern!r}") from error
        if groups != 1:
            raise ValueError(f"patient_regex must have one group, the patient, but got {pattern!r}")
        return pattern

    @property
    def knows_spacing(self) -> bool:
        """Return whether the side of a pixel was given."""
        return self.pixel_mm is not None

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of the values that occur in any label map."""
        values = _label_values(self)
        if self.names and len(self.names) != len(values):
            raise DataError(f"data.names must name the labels {list(values)}, but has {len(self.names)} names")
        return self.names or tuple(f"label_{value}" for value in values)

    def subjects(self) -> tuple[Subject, ...]:
        """Return the patients that the rule finds."""
        owners = self._owners()
        patients = sorted(set(owners.values()))
        if len(patients) == 1:
            raise DataError(
                f"{self.root}: the patient rule must find several patients, but gives all {len(owners)} files to"
                f" {patients[0]!r}; mend data.patient_regex or data.patient_csv"
            )
        refuse_twins(self.root, owners)
        return tuple(Subject(id_) for id_ in patients)

    def fingerprint(self) -> str:
        """Return what changes when a file changes."""
        return fingerprint(self.root, find_files(self.root, "**/*", ENDINGS))

    def read(self, subject: Subject) -> Volume:
        """Return one patient's slices in the order of their names."""
        files = [path for path, owner in self._owners().items() if owner == subject.id]
        if not files:
            raise DataError(f"{subject.id}: no such patient in {self.root}")
        slices = [pair for path in files for pair in self._read_slices(path)]
        shapes = {image.shape for image, _ in slices}
        if len(shapes) > 1:
            raise DataError(
                f"{files[0]}: the slices of one patient must share one size, but there are {sorted(shapes)}"
            )
        image = np.stack([image for image, _ in slices])
        if not np.isfinite(image).all():
            raise DataError(
                f"{files[0]}: pixels must be finite, but {int((~np.isfinite(image)).sum())} of them are not"
            )
        known = np.array([0, *_label_values(self)])
        drawn = [labels for _, labels in slices if labels is not None]
        labels = torch.from_numpy(_classes(np.stack(drawn), known, files[0])) if drawn else None
        side = self.pixel_mm or 1.0
        return Volume(torch.from_numpy(image), labels, (side, side, side), even_positions(len(image)))

    def _owners(self) -> dict[Path, str]:
        """Return every image file with its patient, in the order of paths."""
        if bool(self.patient_regex) == bool(self.patient_csv):
            raise DataError(
                f"{self.root}: say whose slices these are:"
                " set either data.patient_regex='(sub-[0-9]+)' or data.patient_csv"
            )
        apart = self.root / self.labels
        files = [f for f in find_files(check_root(self.root), "**/*", ENDINGS) if not f.is_relative_to(apart)]
        if not files:
            raise DataError(
                f"{self.root}: no {', '.join(ENDINGS)} file found; set data.root to the folder of the images"
            )
        table = self._table()
        return {path: self._owner(path, table) for path in sorted(files, key=_by_number)}

    def _owner(self, path: Path, table: Mapping[str, str]) -> str:
        name = path.relative_to(self.root).as_posix()
        if self.patient_csv:
            if name not in table:
                raise DataError(f"{path}: has no patient in {self.patient_csv}; add a line for it")
            return table[name]
        found = re.search(self.patient_regex, name)
        if not found or not found.group(1):
            raise DataError(f"{path}: data.patient_regex {self.patient_regex!r} finds no patient in {name!r}")
        return found.group(1)

    def _table(self) -> dict[str, str]:
        if not self.patient_csv:
            return {}
        try:
            text = read_file(self.patient_csv, self.patient_csv.parent).decode("utf-8-sig")
            rows = [row for row in csv.DictReader(text.splitlines()) if row["patient"]]
            owners = {row["file"]: row["patient"] for row in rows}
            twice = next((row for row in rows if owners[row["file"]] != row["patient"]), None)
        except (UnicodeDecodeError, csv.Error, KeyError) as error:
            raise DataError(f"{self.patient_csv}: must be UTF-8 CSV with the columns file and patient") from error
        if twice:
            raise DataError(
                f"{self.patient_csv}: a file must have one patient, but {twice['file']} has {twice['patient']} and"
                f" {owners[twice['file']]}; remove a line"
            )
        return owners

    def _read_slices(self, path: Path) -> list[tuple[Array, Array | None]]:
        if path.suffix.lower() == ".npz":
            image, labels = read_arrays(path, self.root)
        else:
            image, labels = read_image(path, self.root), None
        mapped = self.root / self.labels / path.relative_to(self.root)
        if labels is None and mapped.exists():
            labels = read_label_map(mapped, self.root)
        if labels is None:
            return [(each, None) for each in image.reshape(-1, *image.shape[-2:])]
        if labels.shape != image.shape:
            raise DataError(f"{path}: labels must have the image's shape {image.shape}, but have {labels.shape}")
        if (labels != np.round(labels)).any() or not 0 <= labels.min() <= labels.max() < 2**31:
            raise DataError(f"{path}: labels must be whole numbers from 0, but span [{labels.min()}, {labels.max()}]")
        pairs = zip(image.reshape(-1, *image.shape[-2:]), labels.reshape(-1, *labels.shape[-2:]), strict=True)
        return list(pairs)


def _by_number(path: Path) -> list[tuple[bool, int, str]]:
    """Return a key that puts slice_9 before slice_10."""
    parts = re.split(r"([0-9]+)", path.as_posix())
    return [(place % 2 == 0, int(part) if place % 2 else 0, part) for place, part in enumerate(parts)]


def _classes(labels: Array, known: Array, path: Path) -> UInt8[np.ndarray, "z h w"]:
    """Return each value's place among the known ones."""
    classes = np.searchsorted(known, labels).clip(max=len(known) - 1)
    if (known[classes] != labels).any():
        raise DataError(f"{path}: its label maps changed since the labels were counted; run the command again")
    return classes.astype(np.uint8)


@functools.lru_cache(maxsize=8)
def _label_values(spec: FolderSpec) -> tuple[int, ...]:
    """Return the values above 0 that occur in any label map; all slices have one, or none has."""
    found: set[int] = set()
    labelled: set[bool] = set()
    for path in spec._owners():
        for _, labels in spec._read_slices(path):
            labelled.add(labels is not None)
            found |= set() if labels is None else {int(value) for value in np.unique(labels)}
    if len(labelled) > 1:
        raise DataError(f"{spec.root}: all slices or none must have a label map, but some have and some have not")
    if len(found) > MOST_LABELS:
        raise DataError(f"{spec.root}: there must be at most {MOST_LABELS} label values, but there are {len(found)}")
    return tuple(sorted(found - {0}))
