"""Orientation, layouts and labels of NIfTI sources."""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from sbldm.data import NiftiSpec, Subject
from sbldm.errors import DataError

Write = Callable[..., Path]
MARKED = (20, 24, 28)  # right, front and top: extent of a volume whose value says where it is


def world_volume(axes: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a volume stored along these axes (such as LPS), each voxel holding x + 100 y + 10000 z, and its affine."""
    x, y, z = np.meshgrid(*(np.arange(length) for length in MARKED), indexing="ij")
    world = (x + 100 * y + 10000 * z).astype(np.float32)
    ornt = nibabel.orientations.axcodes2ornt(tuple(axes))
    turn = nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt(("R", "A", "S")), ornt)
    stored = nibabel.orientations.apply_orientation(world, turn)
    affine = np.diag([1.0, 2.0, 3.0, 1.0]) @ nibabel.orientations.inv_ornt_aff(turn, MARKED)
    return stored, affine


@pytest.mark.parametrize("stored", ["RAS", "LPS", "PSR", "SAL", "IRP"])
def test_every_stored_orientation_gives_the_same_slices(stored: str, tmp_path: Path, write_nifti: Write) -> None:
    values, affine = world_volume(stored)
    write_nifti(tmp_path / "p.nii.gz", values, affine)
    for axis, across, down, right, spacing in [
        ("axial", 10000, -100, 1, (3.0, 2.0, 1.0)),
        ("coronal", 100, -10000, 1, (2.0, 3.0, 1.0)),
        ("sagittal", 1, -10000, 100, (1.0, 3.0, 2.0)),
    ]:
        volume = NiftiSpec(root=tmp_path, axis=axis).read(Subject("p"))
        assert (volume.image.diff(dim=0) == across).all()
        assert (volume.image.diff(dim=1) == down).all()  # the top or the front of the head is the first row
        assert (volume.image.diff(dim=2) == right).all()
        assert volume.spacing_mm == pytest.approx(spacing, abs=1e-5)


def test_a_numbered_axis_is_the_stored_one_as_it_is(tmp_path: Path, write_nifti: Write) -> None:
    values, affine = world_volume("PSR")
    write_nifti(tmp_path / "p.nii.gz", values, affine)
    for axis, order in ((0, (0, 1, 2)), (1, (1, 0, 2)), (2, (2, 0, 1))):
        volume = NiftiSpec(root=tmp_path, axis=axis).read(Subject("p"))
        np.testing.assert_array_equal(volume.image.numpy(), values.transpose(order))
        assert volume.spacing_mm == pytest.approx([(2.0, 3.0, 1.0)[place] for place in order], abs=1e-5)


def test_labels_turn_with_their_image_even_if_stored_otherwise(tmp_path: Path, write_nifti: Write) -> None:
    image, affine = world_volume("LPS")
    labels, other_affine = world_volume("SAR")
    write_nifti(tmp_path / "p.nii.gz", image, affine)
    write_nifti(tmp_path / "labels/p.nii.gz", (labels > 140000).astype(np.uint8), other_affine)
    volume = NiftiSpec(root=tmp_path).read(Subject("p"))
    assert torch.equal(volume.labels, (volume.image > 140000).to(torch.uint8))


def test_label_values_become_classes_in_their_order_and_may_be_named(decathlon: Path, blob: Write) -> None:
    source = NiftiSpec(root=decathlon, layout="decathlon", axis=0)
    assert source.label_names == ("label_2", "label_5")
    expected = np.where(blob(3) > 90, np.where(blob(3) > 104, 2, 1), 0)
    np.testing.assert_array_equal(source.read(Subject("case_3")).labels.numpy(), expected)
    named = NiftiSpec(root=decathlon, layout="decathlon", names=("rim", "core"))
    assert named.label_names == ("rim", "core")
    with pytest.raises(DataError, match=r"must name the labels \[2, 5\]"):
        _ = NiftiSpec(root=decathlon, layout="decathlon", names=("rim",)).label_names


@pytest.mark.parametrize(
    "layout, suffix, files",
    [
        ("flat", "", {"{}.nii.gz": "image", "labels/{}.nii": "label"}),
        ("decathlon", "", {"imagesTr/{}.nii.gz": "image", "labelsTr/{}.nii.gz": "label"}),
        ("brats", "flair", {"{0}/{0}_flair.nii.gz": "image", "{0}/{0}_t1.nii.gz": "other", "{0}/{0}_seg.nii": "label"}),
        (
            "bids",
            "T1w",
            {
                "{0}/anat/{0}_T1w.nii.gz": "image",
                "{0}/anat/{0}_T2w.nii.gz": "other",
                "derivatives/{0}/anat/{0}_dseg.nii.gz": "label",
            },
        ),
    ],
)
def test_each_layout_finds_image_and_labels(
    layout: str, suffix: str, files: dict[str, str], tmp_path: Path, blob: Write, write_nifti: Write
) -> None:
    for seed, patient in enumerate(("sub-a", "sub-b", "sub-c")):
        content = {"image": blob(seed), "other": blob(seed + 50), "label": (blob(seed) > 90).astype(np.uint8)}
        for name, what in files.items():
            write_nifti(tmp_path / name.format(patient), content[what])
    source = NiftiSpec(root=tmp_path, layout=layout, suffix=suffix, axis=0)
    assert [subject.id for subject in source.subjects()] == ["sub-a", "sub-b", "sub-c"]
    volume = source.read(Subject("sub-b"))
    np.testing.assert_array_equal(volume.image.numpy(), blob(1))
    np.testing.assert_array_equal(volume.labels.numpy(), blob(1) > 90)


def test_two_images_of_one_patient_are_refused(tmp_path: Path, blob: Write, write_nifti: Write) -> None:
    for seed, modality in enumerate(("t1", "t2")):
        write_nifti(tmp_path / f"a/a_{modality}.nii.gz", blob(seed))
    with pytest.raises(DataError, match=r"a has several; set data\.suffix"):
        NiftiSpec(root=tmp_path, layout="brats").subjects()


def test_labels_for_some_patients_only_are_refused(decathlon: Path) -> None:
    (decathlon / "labelsTr/case_3.nii.gz").unlink()
    with pytest.raises(DataError, match=r"case_3\.nii\.gz: all patients or none must have labels"):
        NiftiSpec(root=decathlon, layout="decathlon").subjects()


@pytest.mark.parametrize(
    "labels, rule",
    [
        (np.full((12, 10, 8), 0.5, np.float32), "whole numbers"),
        (np.full((12, 10, 8), -1.0, np.float32), "whole numbers"),
        (np.full((12, 10, 8), np.nan, np.float32), "whole numbers"),
        (np.ones((12, 10, 7), np.uint8), "image's shape"),
        (np.arange(960).reshape(12, 10, 8).astype(np.int16), "at most 254"),
    ],
)
def test_labels_that_are_none_are_refused(labels: np.ndarray, rule: str, decathlon: Path, write_nifti: Write) -> None:
    write_nifti(decathlon / "labelsTr/case_1.nii.gz", labels)
    with pytest.raises(DataError, match=rule):
        NiftiSpec(root=decathlon, layout="decathlon").read(Subject("case_1"))


def test_voxels_that_are_no_numbers_are_counted_or_zeroed(tmp_path: Path, blob: Write, write_nifti: Write) -> None:
    values = blob(0)
    values[4, 2, 3], values[6, 1, 1] = np.nan, np.inf
    write_nifti(tmp_path / "p.nii.gz", values)
    with pytest.raises(DataError, match=r"p\.nii\.gz: .* 2 are not, first in slice 4; .*nonfinite=zero"):
        NiftiSpec(root=tmp_path, axis=0).read(Subject("p"))
    image = NiftiSpec(root=tmp_path, axis=0, nonfinite="zero").read(Subject("p")).image
    np.testing.assert_array_equal(image.numpy(), np.nan_to_num(values, nan=0, posinf=0))


def test_what_overflows_float32_is_refused(tmp_path: Path, blob: Write, write_nifti: Write) -> None:
    write_nifti(tmp_path / "p.nii", blob(0).astype(np.float64) * 1e300)
    with pytest.raises(DataError, match="finite in float32"):
        NiftiSpec(root=tmp_path).read(Subject("p"))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, blob: Write, write_nifti: Write) -> None:
    write_nifti(tmp_path / "elsewhere/p.nii.gz", blob(0))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/p.nii.gz").symlink_to(tmp_path / "elsewhere/p.nii.gz")
    with pytest.raises(DataError, match="must lie inside"):
        NiftiSpec(root=tmp_path / "root").read(Subject("p"))


def test_of_a_series_one_volume_meets_its_labels(tmp_path: Path, blob: Write, write_nifti: Write) -> None:
    write_nifti(tmp_path / "p.nii.gz", np.stack([blob(0), blob(1)], axis=-1))
    write_nifti(tmp_path / "labels/p.nii.gz", (blob(1) > 90).astype(np.uint8)[..., None])
    with pytest.raises(DataError, match=r"p\.nii\.gz: holds 2 volumes; set data\.volume"):
        NiftiSpec(root=tmp_path).read(Subject("p"))
    volume = NiftiSpec(root=tmp_path, axis=0, volume=1).read(Subject("p"))
    np.testing.assert_array_equal(volume.image.numpy(), blob(1))
    np.testing.assert_array_equal(volume.labels.numpy(), blob(1) > 90)


@pytest.mark.parametrize("layout, images, labels", [("flat", "", "labels"), ("decathlon", "imagesTr", "labelsTr")])
def test_the_case_of_an_ending_loses_no_label(
    layout: str, images: str, labels: str, tmp_path: Path, blob: Write, write_nifti: Write
) -> None:
    for seed, (one, other) in enumerate([(".NII.GZ", ".nii.gz"), (".nii", ".NII"), (".Nii.gz", ".nii")]):
        write_nifti(tmp_path / images / f"p{seed}_T1w{one}", blob(seed))
        write_nifti(tmp_path / labels / f"p{seed}_T1w{other}", (blob(seed) > 90).astype(np.uint8))
    source = NiftiSpec(root=tmp_path, layout=layout, suffix="T1w", axis=0)
    assert [subject.id for subject in source.subjects()] == ["p0_T1w", "p1_T1w", "p2_T1w"]
    assert source.label_names == ("label_1",)
    np.testing.assert_array_equal(source.read(Subject("p0_T1w")).labels.numpy(), blob(0) > 90)
