"""NIfTI volumes from a folder: canonical orientation, slices along any axis, optional label volumes."""

import functools
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8
from pydantic import Field
from torch import Tensor

from sbldm.data.sources.base import SOURCES, SourceSpec
from sbldm.data.sources.files import check_root, fingerprint, refuse_twins
from sbldm.data.sources.layouts import Case, Layout, find_cases
from sbldm.data.sources.nifti_file import Grid, read_volume
from sbldm.data.subject import Subject
from sbldm.data.volume import Volume, even_positions
from sbldm.errors import DataError

Axis = Literal["sagittal", "coronal", "axial", 0, 1, 2]
AXES = ("sagittal", "coronal", "axial")
MOST_LABELS = 254


@SOURCES.register
class NiftiSpec(SourceSpec):
    """Read volumes; nothing of a header but shape, type, scaling, spacing and orientation is used."""

    kind: Literal["nifti"] = "nifti"
    root: Path = Path("data")
    """Folder of the volumes."""
    layout: Layout = "flat"
    suffix: str = ""
    """Modality in the file names, such as T1w or flair, where a patient has several images."""
    axis: Axis = "axial"
    """Direction across the slices, found from the orientation in the header; or the stored axis 0, 1 or 2 as it is."""
    volume: int | None = Field(default=None, ge=0)
    """Which 3-D volume of a 4-D file."""
    nonfinite: Literal["refuse", "zero"] = "refuse"
    """What to do with voxels that are NaN or infinite."""
    names: tuple[str, ...] = ()
    """Names of the labels in order of their value; by default label_<value>."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of the values that occur in any patient's labels."""
        values = _label_values(self)
        if self.names and len(self.names) != len(values):
            raise DataError(
                f"data.names must name the labels {list(values)} of {self.root}, but has {len(self.names)} names"
            )
        return self.names or tuple(f"label_{value}" for value in values)

    def subjects(self) -> tuple[Subject, ...]:
        """Return the patients of the folder."""
        cases = self._cases()
        refuse_twins(self.root, {case.image: case.id for case in cases})
        return tuple(Subject(case.id) for case in cases)

    def fingerprint(self) -> str:
        """Return what changes when a file changes."""
        return fingerprint(self.root, [path for case in self._cases() for path in (case.image, case.labels) if path])

    def read(self, subject: Subject) -> Volume:
        """Return one patient's slices; rows run from top to bottom as radiologists see them."""
        case = next((case for case in self._cases() if case.id == subject.id), None)
        if case is None:
            raise DataError(f"{subject.id}: no such patient in {self.root}")
        image, spacing = self._read_image(case.image)
        labels = self._read_labels(case) if case.labels else None
        if labels is not None and labels.shape != image.shape:
            raise DataError(
                f"{case.labels}: labels must have the image's shape {tuple(image.shape)},"
                f" but have {tuple(labels.shape)}"
            )
        return Volume(image, labels, spacing, even_positions(len(image)))

    def _cases(self) -> tuple[Case, ...]:
        return find_cases(check_root(self.root), self.layout, self.suffix)

    def _read_image(self, path: Path) -> tuple[Float32[Tensor, "z h w"], tuple[float, float, float]]:
        stack, spacing_mm = slices_first(read_volume(path, self.root, self.volume), self.axis)
        with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite, and is counted
            image = stack.astype(np.float32)
        odd = ~np.isfinite(image)
        if odd.any() and self.nonfinite == "refuse":
            raise DataError(
                f"{path}: voxels must be finite in float32, but {int(odd.sum())} are not,"
                f" first in slice {int(odd.any((1, 2)).argmax())}; mend the file, or set data.nonfinite=zero"
            )
        return torch.from_numpy(np.where(odd, np.float32(0), image)), spacing_mm

    def _read_labels(self, case: Case) -> UInt8[Tensor, "z h w"]:
        assert case.labels is not None
        grid = _whole_numbers(case.labels, self.root)
        known = np.array([0, *_label_values(self)])
        classes = np.searchsorted(known, grid.values).astype(np.uint8)
        if (known[classes.clip(max=len(known) - 1)] != grid.values).any():
            raise DataError(f"{case.labels}: changed since the labels were counted; run the command again")
        return torch.from_numpy(
            slices_first(Grid(classes.astype(np.float64), grid.affine), self.axis)[0].astype(np.uint8)
        )


@functools.lru_cache(maxsize=8)
def _label_values(spec: NiftiSpec) -> tuple[int, ...]:
    """Return the values above 0 that occur in any patient's labels."""
    found: set[int] = set()
    for case in find_cases(check_root(spec.root), spec.layout, spec.suffix):
        if case.labels:
            found |= {int(value) for value in np.unique(_whole_numbers(case.labels, spec.root).values)}
    if len(found) > MOST_LABELS:
        raise DataError(f"{spec.root}: there must be at most {MOST_LABELS} label values, but there are {len(found)}")
    return tuple(sorted(found - {0}))


def _whole_numbers(path: Path, root: Path) -> Grid:
    grid = read_volume(path, root, None)
    values = grid.values
    if (
        not np.isfinite(values).all()
        or (values != np.round(values)).any()
        or not 0 <= values.min() <= values.max() < 2**31
    ):
        raise DataError(f"{path}: labels must be whole numbers from 0, but span [{values.min()}, {values.max()}]")
    return grid


def slices_first(grid: Grid, axis: Axis) -> tuple[Float64[np.ndarray, "z h w"], tuple[float, float, float]]:
    """Return slices, then rows from superior or anterior down, then columns; and the spacing in that order."""
    if isinstance(axis, int):
        rows, columns = (other for other in range(3) if other != axis)
        stack = grid.values.transpose(axis, rows, columns)
        return np.ascontiguousarray(stack), _spacing(grid, (axis, rows, columns))
    grid, across = grid.canonical(), AXES.index(axis)
    columns, rows = (other for other in range(3) if other != across)
    stack = grid.values.transpose(across, rows, columns)[:, ::-1]
    return np.ascontiguousarray(stack), _spacing(grid, (across, rows, columns))


def _spacing(grid: Grid, order: tuple[int, int, int]) -> tuple[float, float, float]:
    across, row, column = (grid.spacing_mm[axis] for axis in order)
    return across, row, column
