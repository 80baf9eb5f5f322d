"""One NIfTI file: the header is checked before anything is unpacked, and the stream is read to its end."""

import math
import struct
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from nibabel.spatialimages import HeaderDataError

from sbldm.data.sources.files import LARGEST_FILE_BYTES, peek_gzip, read_file, unzip
from sbldm.errors import DataError

HEADER_BYTES = 540  # NIfTI-2; NIfTI-1 has 348
SLACK_BYTES = 1 << 16  # some writers pad the end
REAL_NUMBERS = {2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280}  # codes of integers and floats of up to 64 bits


@dataclass(frozen=True)
class Grid:
    """A volume's values and where its voxels lie; nothing else of the header is kept."""

    values: Float64[np.ndarray, "i j k"]
    affine: Float64[np.ndarray, "4 4"]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Return the distance between neighbors along each axis."""
        i, j, k = (float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))
        return i, j, k

    def canonical(self) -> "Grid":
        """Return the same volume with axes to the right, the front and the top."""
        turn = io_orientation(self.affine)
        return Grid(apply_orientation(self.values, turn), self.affine @ inv_ornt_aff(turn, self.values.shape))


def read_volume(path: Path, root: Path, volume: int | None) -> Grid:
    """Return one 3-D volume, scaled as the header says; of a 4-D file the one with this number.

    Raises:
        DataError: damaged, hostile, too large, or no volume of real numbers.
    """
    content = read_file(path, root)
    zipped = content.startswith(b"\x1f\x8b")
    header = _parse_header(path, peek_gzip(path, content, HEADER_BYTES) if zipped else content[:HEADER_BYTES])
    shape, kind, start = _shape(path, header), _kind(path, header), _start(path, header)
    (slope, offset), affine = _scaling(path, header), _affine(path, header)
    end = start + math.prod(shape) * kind.itemsize
    if end > LARGEST_FILE_BYTES:
        raise DataError(f"{path}: must unpack to at most {LARGEST_FILE_BYTES} bytes, but announces {end}; resample it")
    content = unzip(path, content, limit=end + SLACK_BYTES) if zipped else content
    if len(content) < end:
        raise DataError(f"{path}: truncated: its header announces {end} bytes, but there are {len(content)}")
    stored = np.frombuffer(content, kind, math.prod(shape), start).reshape(shape, order="F")
    return Grid(_choose(path, stored, volume).astype(np.float64) * slope + offset, affine)


def _parse_header(path: Path, head: bytes) -> Any:
    for kind, endianness in product((Nifti1Header, Nifti2Header), "<>"):
        if len(head) >= kind.sizeof_hdr and struct.unpack(f"{endianness}i", head[:4]) == (kind.sizeof_hdr,):
            header = kind(head[: kind.sizeof_hdr], endianness=endianness, check=False)
            if bytes(header["magic"]).startswith(b"n+"):
                return header
    raise DataError(f"{path}: not a single-file NIfTI volume; convert it (DICOM: dcm2niix -ba y)")


def _shape(path: Path, header: Any) -> tuple[int, ...]:
    """Return three dimensions, or four where there are several volumes."""
    dimensions = [int(length) for length in header["dim"]]
    shape = dimensions[1 : 1 + dimensions[0]] if 1 <= dimensions[0] <= 7 else []
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if not 3 <= len(shape) <= 4 or min(shape) < 1:
        raise DataError(f"{path}: a volume must have 3 dimensions of 1 or more, but the header says {dimensions}")
    return tuple(shape)


def _kind(path: Path, header: Any) -> np.dtype[Any]:
    code = int(header["datatype"])
    if code not in REAL_NUMBERS:
        raise DataError(f"{path}: voxels must be real numbers, but are of type {code} (complex, RGB, ...); convert it")
    kind: np.dtype[Any] = header.get_data_dtype()
    return kind


def _start(path: Path, header: Any) -> int:
    start = float(header["vox_offset"])
    if not (header.sizeof_hdr <= start <= LARGEST_FILE_BYTES and start.is_integer()):
        raise DataError(f"{path}: voxels must follow the header, but vox_offset is {start:g}; convert the file anew")
    return int(start)


def _scaling(path: Path, header: Any) -> tuple[float, float]:
    slope, offset = float(header["scl_slope"]), float(header["scl_inter"])
    if not (math.isfinite(slope) and math.isfinite(offset)):
        raise DataError(f"{path}: intensity scaling must be finite, but is {slope:g} x + {offset:g}; convert it anew")
    return (slope, offset) if slope else (1.0, 0.0)  # by the standard, slope 0 means: not scaled


def _affine(path: Path, header: Any) -> Float64[np.ndarray, "4 4"]:
    with np.errstate(all="ignore"):  # what overflows is not finite, and is refused below
        try:
            affine = np.asarray(header.get_best_affine(), dtype=np.float64)
        except (HeaderDataError, ValueError) as error:
            raise DataError(f"{path}: the orientation must be valid, but {error}; mend the header") from error
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        volume = abs(np.linalg.det(affine[:3, :3] / lengths)) if np.isfinite(affine).all() and lengths.all() else 0.0
    if not (volume > 1e-3 and np.isfinite(lengths).all()):
        raise DataError(f"{path}: the orientation matrix must be finite and invertible; mend the header")
    return affine


def _choose(path: Path, stored: np.ndarray[Any, np.dtype[Any]], volume: int | None) -> np.ndarray[Any, np.dtype[Any]]:
    count = stored.shape[3] if stored.ndim == 4 else 1
    if count > 1 and volume is None:
        raise DataError(f"{path}: holds {count} volumes; set data.volume to one of 0..{count - 1}")
    if volume is not None and volume >= count:
        raise DataError(f"{path}: data.volume must be below {count}, but got {volume}")
    return stored[..., volume or 0] if stored.ndim == 4 else stored
