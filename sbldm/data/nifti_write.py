"""Generated volumes as NIfTI files with a fresh header: nothing in it comes from any patient."""

import gzip
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from nibabel.nifti1 import Nifti1Image
from torch import Tensor

from sbldm.data.sources.nifti import AXES, Axis
from sbldm.files import atomic_write

LEVELS = 32767  # stored whole numbers; the header's slope turns them into [0, 1]
DESCRIPTION = b"synthetic"
Shape = Shaped[np.ndarray, "i j k"]


def write_volume(
    folder: Path,
    name: str,
    *,
    images: Float[Tensor, "z 1 h w"],
    labels: UInt8[Tensor, "z h w"],
    spacing_mm: tuple[float, float, float],
    axis: Axis = "axial",
) -> tuple[Path, Path]:
    """Write ``name.nii.gz`` and its label map of the same name in ``labels/``, as the flat layout has them.

    Read as a data source, they give the same slices again. The same volume gives the same bytes.

    Args:
        folder: where to.
        name: of the file, without ending.
        images: in [-1, 1], stored as 16-bit whole numbers that read as [0, 1].
        labels: 0 background, 1.. classes.
        spacing_mm: between slices, between rows, between columns.
        axis: direction across the slices; a number is a stored axis, of no known direction.
    """
    if images.shape[0] != labels.shape[0] or images.shape[2:] != labels.shape[1:]:
        raise ValueError(f"images and labels must agree, but got {tuple(images.shape)} and {tuple(labels.shape)}")
    if not float(images.abs().max()) <= 1:
        raise ValueError(f"images must lie in [-1, 1], but reach {float(images.abs().max()):.6g}")
    if not min(spacing_mm) > 0:
        raise ValueError(f"spacing must be above 0 mm, but got {spacing_mm=}")
    levels = ((images[:, 0].double() + 1) / 2 * LEVELS).round().short().numpy()
    image, label = folder / f"{name}.nii.gz", folder / "labels" / f"{name}.nii.gz"
    atomic_write(image, _encode(levels, spacing_mm, axis, slope=1 / LEVELS))
    atomic_write(label, _encode(labels.numpy(), spacing_mm, axis, slope=1.0))
    return image, label


def stack_slices(
    slices: Shaped[np.ndarray, "z h w"], spacing_mm: tuple[float, float, float], axis: Axis
) -> tuple[Shape, tuple[float, float, float]]:
    """Return voxels by the file's axes and the spacing in that order: the inverse of ``slices_first``.

    Where the direction is known, the file's axes go to the right, the front and the top.
    """
    if isinstance(axis, int):
        order = (axis, *(other for other in range(3) if other != axis))
    else:
        across = AXES.index(axis)
        columns, rows = (other for other in range(3) if other != across)
        order, slices = (across, rows, columns), slices[:, ::-1]
    back = np.argsort(order)
    i, j, k = (spacing_mm[place] for place in back)
    return np.ascontiguousarray(slices.transpose(back)), (i, j, k)


def _encode(
    slices: Shaped[np.ndarray, "z h w"], spacing_mm: tuple[float, float, float], axis: Axis, *, slope: float
) -> bytes:
    voxels, spacing = stack_slices(slices, spacing_mm, axis)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-step * (length - 1) / 2 for step, length in zip(spacing, voxels.shape, strict=True)]  # centered
    file = Nifti1Image(voxels, affine)
    file.header.set_xyzt_units("mm")
    file.header.set_slope_inter(slope, 0.0)
    file.header["descrip"] = DESCRIPTION
    return gzip.compress(file.to_bytes(), mtime=0)  # no time stamp
