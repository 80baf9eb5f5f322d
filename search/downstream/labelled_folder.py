"""Synthetic slices with label maps from any program's files; every image has a map, or the folder is refused."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from evaluation.segmentation.types import LabelledSet
from sbldm.data.sources.files import find_files
from sbldm.data.sources.nifti import slices_first
from sbldm.data.sources.nifti_file import read_volume
from sbldm.data.sources.pixels import read_archive, read_label_map, read_levels
from sbldm.errors import DataError
from search.image_folder import FORMS, LABELS, Reading
from search.image_values import Array, Part, to_unit_range

SUFFIXES = ("_labels", "_seg")
FIRST_PATIENT = 1 << 32
"""Synthetic slices stand for themselves, with numbers that no real patient has."""
RULE = (
    "label maps are the array 'labels' of an npz file, or for NAME.png and NAME.nii.gz a file NAME_labels or NAME_seg"
    " of the same ending beside it, or a file of the same path below the folder 'labels'"
)


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """Labelled slices, and in words how gray values became [0, 1]."""

    slices: LabelledSet
    values: str


def read_labelled(path: Path, reading: Reading, names: tuple[str, ...]) -> LabelledFiles:
    """Return synthetic slices whose label maps hold 0 for background and k for the k-th of these classes.

    Raises:
        DataError: an image lacks its map, a map its image, or forms, sizes or values do not fit.
    """
    root, pairs = _find(path)
    read = [_read(image, labels, root, reading) for image, labels in pairs]
    pixels, values = to_unit_range([part for part, _ in read], reading.value_range)
    labels = torch.from_numpy(np.concatenate([_classes(part, found, names) for part, found in read]))
    if not bool(labels.any()):
        raise DataError(f"{path}: some label map must show a class, but all {len(labels)} are background alone")
    return LabelledFiles(LabelledSet(pixels, labels, stand_apart(len(pixels)), names), values)


def stand_apart(count: int) -> Tensor:
    """Return a patient of its own for each of so many synthetic slices."""
    return torch.arange(count, dtype=torch.int64) + FIRST_PATIENT


def _find(path: Path) -> tuple[Path, list[tuple[Path, Path | None]]]:
    """Return the folder, and each image with its map; an npz file holds its own."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    root = path if path.is_dir() else path.parent
    found = find_files(path, "**/*", _endings()) if path.is_dir() else [path]
    maps = [each for each in found if _is_map(each, root)]
    images = [each for each in found if each not in set(maps)]
    if not images:
        raise DataError(f"{path}: holds no image file; known are {', '.join(_endings())}")
    forms = {_form(each) for each in images}
    if len(forms) > 1:
        raise DataError(f"{path}: all images must be of one form, but there are {' and '.join(sorted(forms))}")
    pairs = [(image, _map_of(image, root)) for image in images]
    orphans = sorted(set(maps) - {labels for _, labels in pairs if labels})
    if orphans:
        raise DataError(f"{orphans[0]}: a label map must have its image, but there is none; {RULE}")
    return root, pairs


def _endings() -> tuple[str, ...]:
    return tuple(ending for endings in FORMS.values() for ending in endings)


def _form(path: Path) -> str:
    for form, endings in FORMS.items():
        if path.name.lower().endswith(endings):
            return form
    raise DataError(f"{path}: files of this kind are not read; known are {', '.join(_endings())}")


def _ending(path: Path) -> str:
    """Return the ending as it is written; the longer of .nii and .nii.gz."""
    known = max((each for each in _endings() if path.name.lower().endswith(each)), key=len)
    return path.name[-len(known) :]


def _is_map(path: Path, root: Path) -> bool:
    stem = path.name.removesuffix(_ending(path))
    return stem.endswith(SUFFIXES) or LABELS in path.relative_to(root).parts[:-1]


def _map_of(image: Path, root: Path) -> Path | None:
    if _form(image) == "arrays":
        return None
    ending = _ending(image)
    stem = image.name.removesuffix(ending)
    places = [image.with_name(f"{stem}{suffix}{ending}") for suffix in SUFFIXES]
    places.append(root / LABELS / image.relative_to(root))
    found = [place for place in places if place.exists()]
    if len(found) != 1:
        raise DataError(f"{image}: must have one label map, but has {len(found)}; {RULE}")
    return found[0]


def _read(image: Path, labels: Path | None, root: Path, reading: Reading) -> tuple[Part, Array]:
    if labels is None:
        return _read_arrays(image, root)
    if _form(image) == "volumes":
        slices, maps = (slices_first(read_volume(each, root, None), reading.axis)[0] for each in (image, labels))
    else:
        slices, maps = read_levels(image, root)[None], read_label_map(labels, root)[None]
    return Part(image, slices, [""] * len(slices)), maps


def _read_arrays(path: Path, root: Path) -> tuple[Part, Array]:
    held = read_archive(path, root, {"images": (3, 4), "labels": (3, 4)})
    if "labels" not in held:
        raise DataError(f"{path}: must hold an array 'labels' beside 'images'; {RULE}")
    for name, array in held.items():
        if array.ndim == 4 and array.shape[1] != 1:
            raise DataError(
                f"{path}: {name} must be (n, rows, columns) or (n, 1, rows, columns), but are {array.shape}"
            )
    slices, maps = (held[name].reshape(len(held[name]), *held[name].shape[-2:]) for name in ("images", "labels"))
    return Part(path, slices, [""] * len(slices)), maps


def _classes(part: Part, maps: Array, names: Sequence[str]) -> UInt8[np.ndarray, "n h w"]:
    if maps.shape != part.slices.shape:
        raise DataError(f"{part.path}: label maps must be {part.slices.shape}, as the images are, but are {maps.shape}")
    strange = sorted(float(value) for value in np.unique(maps) if value not in range(len(names) + 1))
    if strange:
        raise DataError(
            f"{part.path}: label maps must hold 0 for background and {_numbered(names)}, but hold {strange[0]:g}"
        )
    return maps.astype(np.uint8)


def _numbered(names: Iterable[str]) -> str:
    return ", ".join(f"{number} for {name}" for number, name in enumerate(names, start=1))
