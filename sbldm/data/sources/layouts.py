"""Where well-known folder layouts keep a patient's image and label volumes."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from sbldm.data.sources.files import find_files
from sbldm.errors import DataError

Layout = Literal["flat", "decathlon", "brats", "bids"]
NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Case:
    """One patient's files."""

    id: str
    image: Path
    labels: Path | None


def find_cases(root: Path, layout: Layout, suffix: str) -> tuple[Case, ...]:
    """Return the patients of a folder, sorted by id.

    Args:
        root: the folder.
        layout: flat: ``*.nii.gz``, labels of the same name in ``labels/``; decathlon: ``imagesTr`` and ``labelsTr``;
            brats: a folder per case with one file per modality and one ``seg``; bids: ``sub-*/**/anat`` and ``*_dseg``.
        suffix: the modality in the file name, such as ``T1w`` or ``flair``; empty where there is one image each.
    """
    cases = sorted(FINDERS[layout](root, suffix), key=lambda case: case.id)
    if not cases:
        raise DataError(f"{root}: no NIfTI volume found in the {layout} layout{_with(suffix)}; set data.layout")
    twice = {case.id for case, after in pairwise(cases) if case.id == after.id}
    if twice:
        raise DataError(
            f"{root}: a patient must have one image, but {min(twice)} has several{_with(suffix)};"
            " set data.suffix so that one is left"
        )
    labelled = [case for case in cases if case.labels]
    if labelled and len(labelled) < len(cases):
        missing = next(case for case in cases if not case.labels)
        raise DataError(f"{missing.image}: all patients or none must have labels, but this one has no label volume")
    return tuple(cases)


def _flat(root: Path, suffix: str) -> Iterable[Case]:
    labels = _by_stem(root / "labels")
    for image in _images(root, "*", suffix):
        yield Case(_stem(image), image, labels.get(_stem(image)))


def _decathlon(root: Path, suffix: str) -> Iterable[Case]:
    labels = _by_stem(root / "labelsTr")
    for image in _images(root / "imagesTr", "*", suffix):
        yield Case(_stem(image), image, labels.get(_stem(image)))


def _brats(root: Path, suffix: str) -> Iterable[Case]:
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        volumes = find_files(folder, "*", NIFTI)
        labels = [path for path in volumes if _stem(path).lower().endswith("seg")]
        for image in _images(folder, "*", suffix):
            if image not in labels:
                yield Case(folder.name, image, labels[0] if labels else None)


def _bids(root: Path, suffix: str) -> Iterable[Case]:
    labels = {_subject(path): path for path in find_files(root, "**/*_dseg*", NIFTI)}
    for image in _images(root, "sub-*/**/anat/*", suffix):
        if "_dseg" not in image.name:
            yield Case(_subject(image), image, labels.get(_subject(image)))


FINDERS: dict[str, Callable[[Path, str], Iterable[Case]]] = {
    "flat": _flat,
    "decathlon": _decathlon,
    "brats": _brats,
    "bids": _bids,
}


def _images(folder: Path, pattern: str, suffix: str) -> list[Path]:
    return [path for path in find_files(folder, pattern, NIFTI) if _stem(path).endswith(suffix)]


def _by_stem(folder: Path) -> dict[str, Path]:
    return {_stem(path): path for path in find_files(folder, "*", NIFTI)}


def _subject(path: Path) -> str:
    found = re.match(r"sub-[A-Za-z0-9]+", path.name)
    if not found:
        raise DataError(f"{path}: a BIDS file name must begin with sub-<label>")
    return found.group()


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _with(suffix: str) -> str:
    return f" with suffix {suffix!r}" if suffix else ""
