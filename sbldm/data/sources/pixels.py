"""One slice from a PNG, TIFF or npz file, at its full range of grey."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from sbldm.data.sources.files import read_file
from sbldm.errors import DataError

MOST_PIXELS = 1 << 26
GREY_MODES = {"1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
Array = np.ndarray[Any, np.dtype[Any]]


def read_image(path: Path, root: Path) -> Array:
    """Return a grey image as float32 rows and columns; colors that are not grey are refused."""
    try:
        with Image.open(io.BytesIO(read_file(path, root)), formats=("PNG", "TIFF")) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"{path}: an image must have at most {MOST_PIXELS} pixels, but is {image.size}")
            return _grey(path, image).astype(np.float32)
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not a PNG or TIFF image") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: damaged image ({error})") from error


def _grey(path: Path, image: Image.Image) -> Array:
    if getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{path}: must hold one image, but holds {getattr(image, 'n_frames', 1)}")
    if image.mode in GREY_MODES:
        grey: Array = np.asarray(image)
        return grey
    if image.mode == "RGB":
        colors: Array = np.asarray(image)
        if (colors == colors[..., :1]).all():
            return colors[..., 0]
    raise DataError(f"{path}: must be grey, but its mode is {image.mode}; convert it to 8 or 16 bit grey")


def read_arrays(path: Path, root: Path) -> tuple[Array, Array | None]:
    """Return ``image`` and, where there is one, ``labels`` of an npz file; no pickled object is ever loaded."""
    try:
        with zipfile.ZipFile(io.BytesIO(read_file(path, root))) as archive:
            announced = sum(entry.file_size for entry in archive.infolist())
        if announced > MOST_PIXELS * 8:
            raise DataError(f"{path}: must unpack to at most {MOST_PIXELS * 8} bytes, but announces {announced}")
        with np.load(io.BytesIO(read_file(path, root)), allow_pickle=False) as arrays:
            if "image" not in arrays:
                raise DataError(f"{path}: must hold an array 'image', but holds {sorted(arrays.files)}")
            return _plain(path, arrays["image"]), arrays.get("labels")
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, MemoryError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not a plain npz file ({error})") from error


def _plain(path: Path, values: Array) -> Array:
    if values.dtype.kind not in "iuf" or values.ndim not in (2, 3):
        raise DataError(f"{path}: image must be numbers in 2 or 3 dimensions, but is {values.dtype} {values.shape}")
    return values.astype(np.float32)
