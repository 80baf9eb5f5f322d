"""Slices from a PNG, TIFF or npz file, at their full range of grey; nothing is stretched, cut or unpickled."""

import io
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sbldm.data.sources.files import LARGEST_FILE_BYTES, read_file
from sbldm.errors import DataError

MOST_PIXELS = 1 << 26
GREY_MODES = ("L", "I;16", "I;16B", "I;16L", "I;16N", "RGB")
# bits and color type of a PNG that Pillow opens as it is: grey, color, palette
EXACT_PNG = {(8, 0), (16, 0), (8, 2), (8, 3), (4, 3), (2, 3), (1, 3)}
# what Pillow, zipfile and numpy raise when a file is damaged
DAMAGE: tuple[type[BaseException], ...] = (
    *(OSError, ValueError, EOFError, SyntaxError, TypeError, KeyError, IndexError, OverflowError, RuntimeError),
    *(MemoryError, Warning, zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
    Image.DecompressionBombError,
)
Array = np.ndarray[Any, np.dtype[Any]]


def read_image(path: Path, root: Path) -> Array:
    """Return a grey image as float32 rows and columns; colors that are not grey are refused."""
    return _read_picture(path, root, GREY_MODES).astype(np.float32)


def read_levels(path: Path, root: Path) -> Array:
    """Return the grey levels of an image as they are stored, 8 or 16 bit."""
    return _read_picture(path, root, GREY_MODES)


def read_label_map(path: Path, root: Path) -> Array:
    """Return the grey levels of an image, or the places in its palette."""
    return _read_picture(path, root, (*GREY_MODES, "P"))


def read_arrays(path: Path, root: Path) -> tuple[Array, Array | None]:
    """Return ``image`` and, where there is one, ``labels`` of an npz file; no pickled object is ever loaded."""
    arrays = read_archive(path, root, {"image": (2, 3), "labels": (2, 3)})
    return arrays["image"].astype(np.float32), arrays.get("labels")


def read_archive(path: Path, root: Path, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Return those wanted arrays that an npz file holds, as stored; the first must be there.

    Args:
        path: of the npz file.
        root: folder that it must lie in.
        wanted: names, and how many dimensions each may have.
    """
    content, needed = io.BytesIO(read_file(path, root)), next(iter(wanted))
    with _damage_named(path), zipfile.ZipFile(content) as archive:
        names = archive.namelist()
        if f"{needed}.npy" not in names:
            raise DataError(f"{path}: must hold an array {needed!r}, but holds {sorted(names)[:8]}")
        held = {name: dimensions for name, dimensions in wanted.items() if f"{name}.npy" in names}
        return {name: _read_array(path, archive, name, dimensions) for name, dimensions in held.items()}


def _read_picture(path: Path, root: Path, modes: tuple[str, ...]) -> Array:
    content = read_file(path, root)
    with _damage_named(path), Image.open(io.BytesIO(content), formats=("PNG", "TIFF")) as image:
        _check_picture(path, image, content[24:26], modes)
        pixels: Array = np.asarray(image)
    if pixels.ndim == 3 and (pixels != pixels[..., :1]).any():
        raise DataError(f"{path}: must be grey, but its red, green and blue differ; convert it to 8 or 16 bit grey")
    return pixels[..., 0] if pixels.ndim == 3 else pixels


def _check_picture(path: Path, image: Image.Image, png: bytes, modes: tuple[str, ...]) -> None:
    """Refuse from the header what would not arrive exactly, or not fit."""
    if image.width * image.height > MOST_PIXELS:
        raise DataError(f"{path}: an image must have at most {MOST_PIXELS} pixels, but is {image.size}; crop it")
    if image.mode not in modes or (image.format == "PNG" and tuple(png) not in EXACT_PNG):
        about = f"{image.mode}, {png[0]} bits" if image.format == "PNG" else image.mode
        raise DataError(f"{path}: must be 8 or 16 bit grey, but its mode is {about}; convert it")
    if getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{path}: must hold one image, but holds {getattr(image, 'n_frames', 1)}; split it")


def _read_array(path: Path, archive: zipfile.ZipFile, name: str, dimensions: tuple[int, ...]) -> Array:
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = read_header(file)
        if kind.hasobject or kind.kind not in "buif" or len(shape) not in dimensions or 0 in shape:
            allowed = " or ".join(map(str, dimensions))
            raise DataError(f"{path}: {name} must be numbers in {allowed} dimensions, but is {kind} {shape}")
        size = math.prod(shape) * kind.itemsize
        if size > LARGEST_FILE_BYTES:
            raise DataError(f"{path}: {name} must take at most {LARGEST_FILE_BYTES} bytes, but announces {size}")
        content = file.read(size + 1)  # to the end, where zipfile tests the checksum
    if len(content) != size:
        raise DataError(f"{path}: {name} must hold {size} bytes by its header, but does not; save it anew")
    return np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes its library raise into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of bombs and of broken metadata, numpy of overflow
            yield
    except DataError:
        raise
    except DAMAGE as error:
        first_line = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise DataError(f"{path}: damaged, or not of the kind its name says ({first_line}); export it anew") from error
