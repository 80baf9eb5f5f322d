"""The MNI152 average brain as tissue probabilities, read from the files that the nilearn package installs.

The template is Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal
Neurological Institute, McGill University, who permit use, copy, change and distribution with this notice.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from sbldm.errors import DataError

VENTRICLE_DEPTH_MM = 18  # CSF that lies deeper in the brain than this is ventricle, not sulcus


@dataclass(frozen=True)
class Template:
    """The average brain on a regular grid in MNI space.

    Attributes:
        tissues: CSF, GM and WM probabilities and the T1 detail that tissue means leave unexplained.
        widening: mm to move, per mm of wish, towards the ventricles (x, y, z).
        origin_mm: x, y, z of the first voxel; step_mm: voxel size of ``tissues``.
    """

    tissues: Float[Tensor, "4 z y x"]
    widening: Float[Tensor, "3 zc yc xc"]
    origin_mm: tuple[float, float, float]
    step_mm: int

    def sample(self, values: Float[Tensor, "c zv yv xv"], at_mm: Float[Tensor, "z h w 3"]) -> Float[Tensor, "c z h w"]:
        """Return a map of this template at points (x, y, z) in MNI millimetres, zero outside."""
        extent = torch.tensor(self.tissues.shape[:0:-1]) * self.step_mm
        corner = torch.tensor(self.origin_mm) - self.step_mm / 2
        grid = (at_mm - corner) * (2 / extent) - 1
        return functional.grid_sample(values[None], grid[None], align_corners=False)[0]


@functools.lru_cache(maxsize=2)
def load_template(step_mm: int) -> Template:
    """Return the average brain at 1 mm or coarser; a second call costs nothing."""
    t1, origin = _read("t1")
    grey, white = _read("gm")[0], _read("wm")[0]
    brain = ndimage.binary_fill_holes(t1 > 0.05).astype(np.float32)
    grey, white = grey * brain, white * brain
    tissues = np.stack([np.clip(brain - grey - white, 0, 1), grey, white])
    detail = np.float32(brain) * (t1 - _explained(t1, tissues))
    fine = _coarsen(torch.from_numpy(np.concatenate([tissues, detail[None]])), step_mm)
    centre = (step_mm - 1) / 2
    return Template(
        tissues=fine,
        widening=_widening(_coarsen(torch.from_numpy(tissues), 4)),
        origin_mm=(origin[0] + centre, origin[1] + centre, origin[2] + centre),
        step_mm=step_mm,
    )


def _read(name: str) -> tuple[Float32[np.ndarray, "z y x"], tuple[float, float, float]]:
    """Return one map in [0, 1] and the position of its first voxel in mm."""
    path = _template_folder() / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.is_file():
        raise DataError(f"{path}: the phantom needs this file of the nilearn package; run pip install 'nilearn>=0.12'")
    image = nibabel.as_closest_canonical(nibabel.load(path))
    values = np.ascontiguousarray(np.asarray(image.dataobj, dtype=np.float32).T) / 255
    x, y, z = (float(offset) for offset in image.affine[:3, 3])
    return values, (x, y, z)


def _template_folder() -> Path:
    found = importlib.util.find_spec("nilearn")
    if found is None or found.origin is None:
        raise DataError("the phantom needs the templates of the nilearn package; run pip install 'nilearn>=0.12'")
    return Path(found.origin).parent / "datasets" / "data"


def _explained(
    t1: Float32[np.ndarray, "z y x"], tissues: Float32[np.ndarray, "3 z y x"]
) -> Float32[np.ndarray, "z y x"]:
    """Return the T1 that the least-squares tissue means predict."""
    rows = tissues.reshape(3, -1).T
    some = rows.sum(axis=1) > 0.5
    means, *_ = np.linalg.lstsq(rows[some], t1.reshape(-1)[some])
    predicted: Float32[np.ndarray, "z y x"] = np.tensordot(means.astype(np.float32), tissues, axes=1)
    return predicted


def _coarsen(values: Float[Tensor, "c z y x"], step: int) -> Float[Tensor, "c zs ys xs"]:
    """Average blocks, zero-padded at the far end so that the origin stays."""
    padding = [amount for length in reversed(values.shape[1:]) for amount in (0, -length % step)]
    return functional.avg_pool3d(functional.pad(values, padding)[None], step)[0].contiguous()


def _widening(tissues: Float[Tensor, "3 z y x"]) -> Float[Tensor, "3 z y x"]:
    """Return the direction that widens the ventricles when coordinates move along it (largest length 1)."""
    csf, brain = tissues[0].numpy(), tissues.sum(0).numpy() > 0.5
    deep = ndimage.distance_transform_edt(brain) * 4 > VENTRICLE_DEPTH_MM
    heat = ndimage.gaussian_filter((csf * deep).astype(np.float32), 2.0)
    slope = np.stack([np.gradient(heat, axis=axis) for axis in (2, 1, 0)]).astype(np.float32)
    return torch.from_numpy(slope / np.linalg.norm(slope, axis=0).max())
