"""NIfTI volumes from a folder: canonical orientation, slices along any axis, optional label volumes."""

import functools
import math
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from pydantic import Field
from torch import Tensor

from sbldm.data.sources.base import SOURCES, SourceSpec
from sbldm.data.sources.files import check_root, fingerprint, peek_gzip, read_file, unzip
from sbldm.data.sources.layouts import Case, Layout, find_cases
from sbldm.data.subject import Subject
from sbldm.data.volume import Volume, even_positions
from sbldm.errors import DataError

Axis = Literal["sagittal", "coronal", "axial"]
AXES: tuple[Axis, ...] = ("sagittal", "coronal", "axial")
HEADER_BYTES = 544
MOST_VOXELS = 1 << 29
MOST_LABELS = 254
SLACK_BYTES = 1 << 20


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
    """Direction across the slices, after the volume is turned to its canonical orientation."""
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
        return tuple(Subject(case.id) for case in self._cases())

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
        values, zooms = read_volume(path, self.root, self.volume)
        odd = ~np.isfinite(values)
        if odd.any():
            if self.nonfinite == "refuse":
                first = int(np.moveaxis(odd, AXES.index(self.axis), 0).any((1, 2)).argmax())
                raise DataError(
                    f"{path}: voxels must be finite, but {int(odd.sum())} are not, first in slice {first};"
                    " mend the file, or set data.nonfinite=zero"
                )
            values = np.where(odd, 0, values)
        return torch.from_numpy(_slices(values.astype(np.float32), self.axis)), _spacing(zooms, self.axis)

    def _read_labels(self, case: Case) -> UInt8[Tensor, "z h w"]:
        assert case.labels is not None
        values = _whole_numbers(case.labels, self.root)
        known = np.array([0, *_label_values(self)])
        return torch.from_numpy(_slices(np.searchsorted(known, values).astype(np.uint8), self.axis))


def read_volume(path: Path, root: Path, volume: int | None) -> tuple[np.ndarray[Any, Any], tuple[float, ...]]:
    """Return voxels as float64 in RAS orientation with their size in mm, or refuse the file in one line."""
    content = read_file(path, root)
    zipped = content.startswith(b"\x1f\x8b")
    header = _read_header(path, peek_gzip(path, content, HEADER_BYTES) if zipped else content[:HEADER_BYTES])
    expected = int(header["vox_offset"]) + _voxels(path, header) * int(header["bitpix"]) // 8
    if zipped:
        content = unzip(path, content, limit=expected + SLACK_BYTES)
    if len(content) < expected:
        raise DataError(f"{path}: truncated: the header announces {expected} bytes, but there are {len(content)}")
    image = _build(path, content, header)
    values = _choose(path, np.asanyarray(image.dataobj, dtype=np.float64), volume)
    return values, tuple(float(size) for size in image.header.get_zooms()[:3])


def _read_header(path: Path, head: bytes) -> Any:
    kinds = {b"n+1\0": nibabel.Nifti1Header, b"n+2\0": nibabel.Nifti2Header}
    kind = kinds.get(head[344:348]) or kinds.get(head[4:8])
    if kind is None:
        raise DataError(f"{path}: not a single-file NIfTI volume; convert it (DICOM: dcm2niix -ba y)")
    try:
        header = kind(head[: kind.sizeof_hdr], check=False)
        header.get_data_dtype()
    except (HeaderDataError, ImageFileError, ValueError, KeyError) as error:
        raise DataError(f"{path}: unreadable NIfTI header ({error})") from error
    if header.get_data_dtype().kind not in "iuf":
        raise DataError(f"{path}: voxels must be plain numbers, but are {header.get_data_dtype()}; convert the file")
    slope, offset = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isinf(slope) or math.isinf(offset) or math.isnan(slope) != math.isnan(offset):
        raise DataError(f"{path}: intensity scaling must be finite, but is {slope} x + {offset}")
    return header


def _voxels(path: Path, header: Any) -> int:
    dimensions = [int(size) for size in header["dim"]]
    shape = dimensions[1 : 1 + dimensions[0]] if 1 <= dimensions[0] <= 7 else []
    if len(shape) < 3 or min(shape) < 1 or min(shape[:3]) < 2:
        raise DataError(f"{path}: a volume must have 3 dimensions of 2 or more, but the header says {dimensions}")
    if math.prod(shape) > MOST_VOXELS:
        raise DataError(f"{path}: a volume must have at most {MOST_VOXELS} voxels, but has {math.prod(shape)}")
    return math.prod(shape)


def _build(path: Path, content: bytes, header: Any) -> Any:
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    try:
        image = kind.from_bytes(content)
        if not np.isfinite(image.affine).all() or np.linalg.matrix_rank(image.affine[:3, :3]) < 3:
            raise DataError(f"{path}: the orientation matrix must be finite and invertible; mend the header")
        return nibabel.as_closest_canonical(image)
    except (HeaderDataError, ImageFileError, ValueError, OSError) as error:
        raise DataError(f"{path}: unreadable NIfTI volume ({error})") from error


def _choose(path: Path, values: np.ndarray[Any, Any], volume: int | None) -> np.ndarray[Any, Any]:
    values = values.reshape(*values.shape[:3], -1)
    count = values.shape[3]
    if count > 1 and volume is None:
        raise DataError(f"{path}: holds {count} volumes; set data.volume to one of 0..{count - 1}")
    if volume is not None and volume >= count:
        raise DataError(f"{path}: data.volume must be below {count}, but got {volume}")
    return values[..., volume or 0]


@functools.lru_cache(maxsize=8)
def _label_values(spec: NiftiSpec) -> tuple[int, ...]:
    """Return the values above 0 that occur in any patient's labels."""
    found: set[int] = set()
    for case in find_cases(check_root(spec.root), spec.layout, spec.suffix):
        if case.labels:
            found |= {int(value) for value in np.unique(_whole_numbers(case.labels, spec.root))}
    if len(found) > MOST_LABELS:
        raise DataError(f"{spec.root}: there must be at most {MOST_LABELS} label values, but there are {len(found)}")
    return tuple(sorted(found - {0}))


def _whole_numbers(path: Path, root: Path) -> np.ndarray[Any, Any]:
    values, _ = read_volume(path, root, None)
    if not np.isfinite(values).all() or (values != np.round(values)).any() or values.min() < 0:
        raise DataError(f"{path}: labels must be whole numbers from 0, but span [{values.min()}, {values.max()}]")
    return values.astype(np.int64)


def _slices(values: np.ndarray[Any, Any], axis: Axis) -> np.ndarray[Any, Any]:
    """Return slices first, then rows from superior or anterior down, then columns."""
    return np.ascontiguousarray(np.moveaxis(values, AXES.index(axis), 0).transpose(0, 2, 1)[:, ::-1])


def _spacing(zooms: tuple[float, ...], axis: Axis) -> tuple[float, float, float]:
    across = zooms[AXES.index(axis)]
    columns, rows = (zooms[index] for index in range(3) if index != AXES.index(axis))
    return across, rows, columns
