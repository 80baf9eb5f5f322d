"""Gray images of any program, from a folder or an npz file; how values become [0, 1] is stated, never guessed."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from evaluation import ImageSet, stand_alone
from sbldm.data.sources.files import find_files, refuse_twins
from sbldm.data.sources.nifti import Axis, slices_first
from sbldm.data.sources.nifti_file import read_volume
from sbldm.data.sources.pixels import read_archive, read_levels
from sbldm.errors import ConfigError, DataError
from search.image_values import Part, to_unit_range

FORMS = {"pictures": (".png", ".tif", ".tiff"), "arrays": (".npz",), "volumes": (".nii", ".nii.gz")}
UNREAD = (".jpg", ".jpeg", ".bmp", ".npy", ".dcm")
LABELS = "labels"


@dataclass(frozen=True)
class Reading:
    """How the files of one side are to be understood.

    Args:
        value_range: the values that become 0 and 1; what lies outside is clipped and counted.
        patient_regex: its one group is the patient, searched in the path below the folder.
        axis: direction across the slices of a volume.
    """

    value_range: tuple[float, float] | None = None
    patient_regex: str = ""
    axis: Axis = "axial"

    def __post_init__(self) -> None:
        if self.value_range and not -np.inf < self.value_range[0] < self.value_range[1] < np.inf:
            raise ConfigError(f"a value range must be finite and ascend, but got {self.value_range}")
        try:
            groups = re.compile(self.patient_regex).groups if self.patient_regex else 1
        except re.error as error:
            raise ConfigError(f"patient_regex must be a regular expression ({error})") from error
        if groups != 1:
            raise ConfigError(f"patient_regex must have one group, the patient, but got {self.patient_regex!r}")


@dataclass(frozen=True, eq=False)
class FolderImages:
    """Images in [0, 1], and in words how their values and patients were found."""

    images: ImageSet
    values: str
    patients: str


def read_real(path: Path, reading: Reading) -> FolderImages:
    """Return real images, each with its patient: by the rule of the reading, else by the folder they lie in.

    Raises:
        DataError: a file is unsuitable, forms, sizes or types are mixed, or there is but one patient.
    """
    root, files = _find(path)
    parts = [_read(file, root, reading) for file in files]
    names = [name for part in parts for name in part.owners]
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    if len(known) < 2:
        raise DataError(
            f"{path}: intervals need several patients, but all {len(names)} images belong to one; put each patient"
            " into a folder of its own, or give a patient regex"
        )
    if all(len(set(part.owners)) == 1 for part in parts):
        refuse_twins(root, {part.path: part.owners[0] for part in parts})
    pixels, values = to_unit_range(parts, reading.value_range)
    rule = "a regular expression over each path" if reading.patient_regex else _DEFAULT_RULES[_form(files[0])]
    return FolderImages(ImageSet(pixels, torch.tensor([known[name] for name in names])), values, rule)


def read_generated(path: Path, reading: Reading) -> FolderImages:
    """Return generated images, each standing for itself.

    Raises:
        DataError: a file is unsuitable, or forms, sizes or types are mixed.
    """
    root, files = _find(path)
    pixels, values = to_unit_range([_read(file, root, reading) for file in files], reading.value_range)
    return FolderImages(stand_alone(pixels), values, "every generated image stands for itself")


_DEFAULT_RULES = {
    "pictures": "the folder of each image",
    "arrays": "groups in the file, else the folder of the file",
    "volumes": "the folder of each volume; a volume beside all others is a patient",
}


def _find(path: Path) -> tuple[Path, list[Path]]:
    """Return the folder and its files, all of one form."""
    if path.is_file():
        _form(path)
        return path.parent, [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder")
    _refuse_links(path)
    endings = [ending for form in FORMS.values() for ending in form]
    found = [file for file in find_files(path, "**/*", (*endings, *UNREAD)) if LABELS not in _below(file, path).parts]
    if not found:
        raise DataError(f"{path}: holds no image file; known are {', '.join(endings)}")
    for file in found:
        if _form(file) != _form(found[0]):
            raise DataError(
                f"{path}: all files must be of one form, but {found[0].name} is of the {_form(found[0])} and"
                f" {file.name} of the {_form(file)}; name the one file or folder that is meant"
            )
    return path, found


def _refuse_links(root: Path) -> None:
    for path in sorted(root.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            raise DataError(f"{path}: must lie inside the folder, but is a link to elsewhere; copy it there")


def _form(path: Path) -> str:
    for form, endings in FORMS.items():
        if path.name.lower().endswith(endings):
            return form
    known = ", ".join(ending for endings in FORMS.values() for ending in endings)
    raise DataError(f"{path}: files of this kind are not read; known are {known}")


def _below(path: Path, root: Path) -> Path:
    return path.relative_to(root)


def _read(path: Path, root: Path, reading: Reading) -> Part:
    form, owner = _form(path), _owner(path, root, reading)
    if form == "pictures":
        return Part(path, read_levels(path, root)[None], [owner])
    if form == "volumes":
        slices, _ = slices_first(read_volume(path, root, None), reading.axis)
        return Part(path, slices, [owner] * len(slices))
    held = read_archive(path, root, {"images": (3, 4), "groups": (1,)})
    slices = held["images"]
    if slices.ndim == 4 and slices.shape[1] != 1:
        raise DataError(f"{path}: images must be gray, (n, 1, rows, columns), but are {slices.shape}")
    slices = slices.reshape(len(slices), *slices.shape[-2:])
    if "groups" not in held:
        return Part(path, slices, [owner] * len(slices))
    if len(held["groups"]) != len(slices):
        raise DataError(f"{path}: groups must name the patient of {len(slices)} images, but has {len(held['groups'])}")
    return Part(path, slices, [f"{path}:{group}" for group in held["groups"].tolist()])


def _owner(path: Path, root: Path, reading: Reading) -> str:
    name = _below(path, root).as_posix()
    if not reading.patient_regex:
        alone = _form(path) == "volumes" and path.parent == root
        return name if alone else path.parent.as_posix()
    found = re.search(reading.patient_regex, name)
    if not found or not found.group(1):
        raise DataError(f"{path}: patient_regex {reading.patient_regex!r} finds no patient in {name!r}")
    return found.group(1)
