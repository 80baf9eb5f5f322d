"""Tiny sources of every kind, written to a temporary folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from sbldm.data import SOURCES, SourceSpec
from sbldm.data.sources.template import load_template

RAS = np.diag([1.0, 2.0, 3.0, 1.0])


@pytest.fixture(scope="session", autouse=True)
def average_brain() -> None:
    """Load the template once, outside the time of any test."""
    load_template(2)


@pytest.fixture
def blob() -> Callable[..., np.ndarray]:
    """Return a function that makes a bright ellipsoid on noise, different for every seed."""

    def make(seed: int, shape: tuple[int, int, int] = (12, 10, 8)) -> np.ndarray:
        random = np.random.default_rng(seed)
        grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij"))
        inside = (grid**2).sum(0) < random.uniform(0.5, 0.9)
        return np.round(inside * 100.0 + random.uniform(0, 10, shape)).astype(np.float32)

    return make


@pytest.fixture
def write_nifti() -> Callable[..., Path]:
    def write(path: Path, values: np.ndarray, affine: np.ndarray = RAS) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(values, affine), path)
        return path

    return write


@pytest.fixture
def write_png() -> Callable[..., Path]:
    def write(path: Path, pixels: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def decathlon(tmp_path: Path, blob: Callable[..., np.ndarray], write_nifti: Callable[..., Path]) -> Path:
    """Return a folder of five labelled volumes whose stored labels are 0, 2 and 5."""
    for seed in range(5):
        image = blob(seed)
        labels = np.where(image > 90, np.where(image > 104, 5, 2), 0).astype(np.uint8)
        write_nifti(tmp_path / f"imagesTr/case_{seed}.nii.gz", image)
        write_nifti(tmp_path / f"labelsTr/case_{seed}.nii.gz", labels)
    return tmp_path


@pytest.fixture
def slices(tmp_path: Path, blob: Callable[..., np.ndarray], write_png: Callable[..., Path]) -> Path:
    """Return a folder of five patients with four labelled 16-bit slices each."""
    for patient in range(5):
        for number, each in enumerate(blob(patient, (4, 12, 10))):
            name = f"p{patient}/slice_{number + 8}.png"
            write_png(tmp_path / name, (each * 300).astype(np.uint16))
            write_png(tmp_path / "labels" / name, (each > 90).astype(np.uint8) * 7)
    return tmp_path


@pytest.fixture
def make_source(request: pytest.FixtureRequest) -> Callable[[str], SourceSpec]:
    """Return a function that makes a small source of a kind; a new kind is added here once."""
    settings: dict[str, Callable[[], dict[str, Any]]] = {
        "phantom": lambda: {"patients": 5, "slices": 3, "size": 32, "lesion_probability": 0.5},
        "nifti": lambda: {"root": request.getfixturevalue("decathlon"), "layout": "decathlon"},
        "folder": lambda: {"root": request.getfixturevalue("slices"), "patient_regex": "^(p[0-9]+)/"},
    }
    return lambda kind: SOURCES.parse({"kind": kind, **settings[kind]()})
