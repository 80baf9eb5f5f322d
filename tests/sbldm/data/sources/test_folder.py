"""Whose slice a picture is must be said, and the order of slices follows their names."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from sbldm.data import FolderSpec, Subject
from sbldm.errors import DataError

Write = Callable[..., Path]
RULE = "^(p[0-9]+)/"


def test_slices_come_in_the_order_of_their_numbers(slices: Path, blob: Write) -> None:
    volume = FolderSpec(root=slices, patient_regex=RULE).read(Subject("p3"))  # slice_8, _9, _10, _11
    expected = blob(3, (4, 12, 10))
    np.testing.assert_array_equal(volume.image.numpy(), (expected * 300).astype(np.uint16))
    np.testing.assert_array_equal(volume.labels.numpy(), expected > 90)
    np.testing.assert_allclose(volume.position.numpy(), [-1, -1 / 3, 1 / 3, 1], atol=1e-6)


def test_labels_are_named_by_value_or_by_the_user(slices: Path) -> None:
    assert FolderSpec(root=slices, patient_regex=RULE).label_names == ("label_7",)
    assert FolderSpec(root=slices, patient_regex=RULE, names=("core",)).label_names == ("core",)


def test_millimetres_are_known_where_the_user_gives_them(slices: Path) -> None:
    given, unknown = (FolderSpec(root=slices, patient_regex=RULE, pixel_mm=side) for side in (0.5, None))
    assert (given.knows_spacing, unknown.knows_spacing) == (True, False)
    assert given.read(given.subjects()[0]).spacing_mm == (0.5, 0.5, 0.5)


def test_a_table_says_the_same_as_a_rule(slices: Path) -> None:
    files = sorted(path.relative_to(slices).as_posix() for path in slices.glob("p*/*.png"))
    lines = ["file,patient", *(f"{name},{name[:2]}" for name in files)]
    (slices / "table.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    by_table, by_rule = (
        FolderSpec(root=slices, patient_csv=slices / "table.csv"),
        FolderSpec(root=slices, patient_regex=RULE),
    )
    assert by_table.subjects() == by_rule.subjects()
    assert by_table.read(Subject("p1")).image.equal(by_rule.read(Subject("p1")).image)
    (slices / "table.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match=r"p4/slice_9\.png: has no patient in .*table\.csv"):
        by_table.subjects()


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\xff\xfe\x00", b"", b"file\np0/slice_8.png\n"])
def test_a_table_that_is_none_is_refused(content: bytes, slices: Path) -> None:
    (slices / "table.csv").write_bytes(content)
    with pytest.raises(DataError):
        FolderSpec(root=slices, patient_csv=slices / "table.csv").subjects()


def test_without_a_rule_or_with_two_nothing_is_read(slices: Path) -> None:
    for settings in ({}, {"patient_regex": RULE, "patient_csv": slices / "table.csv"}):
        with pytest.raises(DataError, match=r"say whose slices these are: .*patient_regex"):
            FolderSpec(root=slices, **settings).subjects()


def test_a_rule_that_misses_a_file_or_finds_one_patient_is_refused(slices: Path) -> None:
    with pytest.raises(DataError, match="finds no patient in 'p4"):
        FolderSpec(root=slices, patient_regex="(p[0-3])").subjects()
    with pytest.raises(DataError, match="gives all 20 files to 'slice'"):
        FolderSpec(root=slices, patient_regex="(slice)").subjects()


@pytest.mark.parametrize("rule", ["p[0-9]", "(p)([0-9])", "(p"])
def test_a_rule_needs_one_group(rule: str) -> None:
    with pytest.raises(ValidationError, match="patient_regex must"):
        FolderSpec(patient_regex=rule)


def test_slices_of_several_sizes_are_refused(slices: Path, write_png: Write) -> None:
    write_png(slices / "p2/slice_12.png", np.ones((5, 5), np.uint8))
    (slices / "labels").rename(slices.parent / f"{slices.name}-away")
    with pytest.raises(DataError, match="must share one size"):
        FolderSpec(root=slices, patient_regex=RULE).read(Subject("p2"))


def test_a_missing_or_misshapen_label_map_is_refused(slices: Path, write_png: Write) -> None:
    write_png(slices / "labels/p2/slice_9.png", np.ones((5, 5), np.uint8))
    with pytest.raises(DataError, match=r"slice_9\.png: labels must have the image's shape"):
        FolderSpec(root=slices, patient_regex=RULE).read(Subject("p2"))
    (slices / "labels/p2/slice_9.png").unlink()
    with pytest.raises(DataError, match="all slices or none must have a label map"):
        _ = FolderSpec(root=slices, patient_regex=RULE, pixel_mm=0.5).label_names


def test_arrays_hold_whole_patients_with_labels(tmp_path: Path, blob: Write) -> None:
    for seed in range(3):
        np.savez(tmp_path / f"patient{seed}.npz", image=blob(seed), labels=(blob(seed) > 90).astype(np.int64) * 3)
    source = FolderSpec(root=tmp_path, patient_regex="(patient[0-9])")
    volume = source.read(Subject("patient2"))
    np.testing.assert_array_equal(volume.image.numpy(), blob(2))
    np.testing.assert_array_equal(volume.labels.numpy(), blob(2) > 90)
    assert source.label_names == ("label_3",)


def test_pixels_that_are_no_numbers_are_counted(tmp_path: Path, blob: Write) -> None:
    image = blob(0)
    image[3, 3, 3] = np.nan
    np.savez(tmp_path / "patient0.npz", image=image)
    with pytest.raises(DataError, match=r"patient0\.npz: pixels must be finite, but 1 "):
        FolderSpec(root=tmp_path, patient_regex="(patient[0-9])").read(Subject("patient0"))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e300, 0.5, -1.0])
def test_labels_that_are_no_small_whole_numbers_are_refused(value: float, tmp_path: Path, blob: Write) -> None:
    for seed in range(2):
        np.savez(tmp_path / f"p{seed}.npz", image=blob(seed), labels=np.full(blob(seed).shape, value))
    with pytest.raises(DataError, match=r"p0\.npz: labels must be whole numbers from 0"):
        FolderSpec(root=tmp_path, patient_regex="(p[0-9])").read(Subject("p0"))


def test_a_table_that_gives_one_file_to_two_patients_is_refused(slices: Path) -> None:
    files = sorted(path.relative_to(slices).as_posix() for path in slices.glob("p*/*.png"))
    lines = ["file,patient", *(f"{name},{name[:2]}" for name in files)]
    table = slices / "table.csv"
    source = FolderSpec(root=slices, patient_csv=table)
    table.write_text("\n".join([*lines, f"{files[3]},p4"]))
    with pytest.raises(DataError, match=r"table\.csv: a file must have one patient, but p0/slice_9\.png has p0 and p4"):
        source.subjects()
    table.write_text("\n".join([*lines, lines[4]]))  # said twice, but the same
    assert len(source.subjects()) == 5
