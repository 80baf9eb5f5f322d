from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import nibabel
import numpy as np
import pytest
import torch

from sbldm.data import NiftiSpec
from sbldm.data.nifti_write import write_volume
from sbldm.data.sources.nifti import Axis, slices_first
from sbldm.data.sources.nifti_file import read_volume

SPACING = (5.0, 2.0, 1.5)
HALF_A_LEVEL = 0.5 / 32767 + 1e-7  # of 16-bit whole numbers over [0, 1], and float32


def draw() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (4, 5, 6), generator=random).to(torch.uint8)
    return {"images": torch.rand(4, 1, 5, 6, generator=random) * 2 - 1, "labels": labels}


@pytest.mark.parametrize("axis", ["sagittal", "coronal", "axial", 0, 1, 2])
def test_what_is_written_reads_as_the_same_slices(tmp_path: Path, axis: Axis) -> None:
    volume = draw()
    image, label = write_volume(tmp_path, "v", **volume, spacing_mm=SPACING, axis=axis)
    stack, spacing = slices_first(read_volume(image, tmp_path, None), axis)
    np.testing.assert_allclose(stack, (volume["images"][:, 0].numpy() + 1) / 2, rtol=0, atol=HALF_A_LEVEL)
    assert spacing == pytest.approx(SPACING)
    assert np.array_equal(slices_first(read_volume(label, tmp_path, None), axis)[0], volume["labels"].numpy())


def test_nibabel_finds_each_voxel_where_a_radiologist_looks_for_it(tmp_path: Path) -> None:
    """Slice 3, row 0, column 0 of axial slices is the top, front and left of the volume."""
    volume = draw()
    volume["images"].fill_(-1)[3, 0, 0, 0] = 1
    image, label = (nibabel.load(path) for path in write_volume(tmp_path, "v", **volume, spacing_mm=SPACING))
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    assert np.array_equal(np.argwhere(image.get_fdata() > 0.5), [[0, 4, 3]])
    assert image.header.get_zooms() == (1.5, 2.0, 5.0)
    assert image.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(image.affine @ [2.5, 2, 1.5, 1], [0, 0, 0, 1], atol=1e-6)  # the middle
    assert image.get_data_dtype() == np.int16
    assert label.get_data_dtype() == np.uint8
    assert np.array_equal(image.affine, label.affine)


def test_a_header_holds_nothing_but_geometry_and_scaling(tmp_path: Path) -> None:
    image, _ = write_volume(tmp_path, "v", **draw(), spacing_mm=SPACING)
    header = nibabel.load(image).header
    plain = nibabel.Nifti1Header()
    told = {
        name
        for name in header
        if not np.array_equal(header[name], plain[name], equal_nan=header[name].dtype.kind == "f")
    }
    geometry = {"scl_slope", "scl_inter", "dim", "pixdim", "xyzt_units", "sform_code", "srow_x", "srow_y", "srow_z"}
    assert told <= geometry | {"qoffset_x", "qoffset_y", "qoffset_z", "datatype", "bitpix", "descrip", "vox_offset"}
    assert header["descrip"] == b"synthetic"
    assert not header.extensions


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (
        [path.read_bytes() for path in write_volume(tmp_path / name, "v", **draw(), spacing_mm=SPACING)]
        for name in ("a", "b")
    )
    assert first == second
    assert first[0][4:8] == bytes(4), "the time stamp of a gzip header, RFC 1952"


def test_generated_volumes_are_a_data_source(tmp_path: Path) -> None:
    volume = draw()
    for number in range(2):
        write_volume(tmp_path, f"volume-{number}", **volume, spacing_mm=SPACING)
        volume["images"] = volume["images"] / 2
    source = NiftiSpec(root=tmp_path)
    assert [subject.id for subject in source.subjects()] == ["volume-0", "volume-1"]
    read = source.read(source.subjects()[0])
    assert read.labels is not None
    assert torch.equal(read.labels, volume["labels"])
    assert read.spacing_mm == pytest.approx(SPACING)


@pytest.fixture
def _as_users_run() -> Iterator[None]:
    """Switch off the shape checks of the test run, so that the library's own words are heard."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("_as_users_run")
@pytest.mark.parametrize(
    "changes, rule",
    [
        ({"images": torch.full((4, 1, 5, 6), 1.5)}, "lie in"),
        ({"images": torch.full((4, 1, 5, 6), torch.nan)}, "lie in"),
        ({"labels": torch.zeros(4, 5, 5, dtype=torch.uint8)}, "agree"),
        ({"spacing_mm": (0.0, 1.0, 1.0)}, "above 0"),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path: Path, changes: dict[str, torch.Tensor], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        write_volume(tmp_path, "v", **{"spacing_mm": SPACING, **draw(), **changes})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
