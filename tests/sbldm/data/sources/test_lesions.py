"""What the phantom says of its lesions, against boxes worked by hand and against its own label maps."""

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from sbldm.data.sources.anatomy import Frame
from sbldm.data.sources.lesions import measure_lesions, read_lesions
from sbldm.data.sources.nifti import NiftiSpec
from sbldm.data.sources.phantom import PhantomSpec

FRAME = Frame(8, 16.0, torch.tensor([0.0, 5.0, 10.0]))
SPACING = 5.0, 2.0, 2.0
PHANTOM = {"patients": 3, "slices": 6, "size": 32, "lesion_probability": 1.0}


def test_a_box_of_voxels_has_the_size_and_place_worked_by_hand() -> None:
    lesion = torch.zeros(3, 8, 8, dtype=torch.bool)
    lesion[1:, 2:5, 6] = True  # 6 voxels of 20 mm^3; rows run from the front, y = 7 - 17, to the back
    found = measure_lesions(lesion, FRAME.points(8), spacing_mm=SPACING)
    assert found["volume"].tolist() == [120.0] * 3
    assert found["area"].tolist() == [0.0, 12.0, 12.0]
    assert found["extent"].tolist() == [10.0] * 3  # two slices of 5 mm against three rows of 2 mm
    assert [float(found[name][0]) for name in ("x", "y", "z")] == pytest.approx([5.0, 1.0 - 17.0, 7.5])


def test_without_a_lesion_the_sizes_are_zero_and_the_center_is_unknown() -> None:
    found = measure_lesions(torch.zeros(3, 8, 8, dtype=torch.bool), FRAME.points(8), spacing_mm=SPACING)
    assert all(found[name].tolist() == [0.0] * 3 for name in ("volume", "area", "extent"))
    assert all(math.isnan(value) for name in ("x", "y", "z") for value in found[name].tolist())


def test_the_phantom_tells_what_its_label_map_shows() -> None:
    source = PhantomSpec.model_validate(PHANTOM | {"lesion_conditions": ("area", "volume")})
    assert source.known_names == ("area", "volume")
    for subject in source.subjects():
        volume = source.read(subject)
        assert volume.known is not None
        assert volume.labels is not None
        slice_mm, row_mm, column_mm = volume.spacing_mm
        pixels = (volume.labels == 4).flatten(1).sum(1).float()
        torch.testing.assert_close(volume.known[:, 0], pixels * row_mm * column_mm)
        torch.testing.assert_close(volume.known[:, 1], (pixels.sum() * slice_mm * row_mm * column_mm).expand(6))


def test_telling_of_lesions_changes_no_voxel() -> None:
    silent, telling = (
        PhantomSpec.model_validate(PHANTOM),
        PhantomSpec.model_validate(PHANTOM | {"lesion_conditions": ("x",)}),
    )
    one, other = (source.read(source.subjects()[1]) for source in (silent, telling))
    assert torch.equal(one.image, other.image)
    assert one.known is None


def test_conditions_of_lesions_that_never_are_there_are_refused() -> None:
    with pytest.raises(ValidationError, match="need lesion_probability above 0"):
        PhantomSpec(lesion_conditions=("volume",))


def test_settings_without_conditions_dump_as_they_did_before_there_were_any() -> None:
    assert PhantomSpec().digest() == "c636f37d31697c5a"  # as of the version before conditions
    names = {"conditions", "lesion_conditions"}
    assert not names & PhantomSpec().model_dump(mode="json").keys()
    assert names <= PhantomSpec().model_dump(mode="python", context={"complete": True}).keys()
    asked = PhantomSpec.model_validate(PHANTOM | {"lesion_conditions": ("x",)})
    assert asked.model_dump(mode="json")["lesion_conditions"] == ["x"]
    assert PhantomSpec.model_validate_json(asked.model_dump_json()) == asked


def test_a_slice_alone_shows_its_area_and_middle_and_as_much_volume_as_if_all_were_like_it() -> None:
    lesion = torch.zeros(3, 8, 8, dtype=torch.bool)
    lesion[1, 2:5, 6] = True  # rows at y = 3, 1 and -1, less the brain's middle of 17
    found = read_lesions(lesion, FRAME.points(8), pixel_mm=2.0, axis_mm=15.0)
    assert found["area"].values.tolist() == [0.0, 12.0, 0.0]
    assert found["volume"].values.tolist() == [0.0, 180.0, 0.0]
    for name, value in {"x": 5.0, "y": 1.0 - 17.0, "z": 5.0, "extent": 6.0}.items():
        values = found[name].values
        assert float(values[1]) == pytest.approx(value)
        assert values[[0, 2]].isnan().all()


def test_slices_of_a_patient_show_on_average_the_numbers_that_the_phantom_tells() -> None:
    """Means over slices, weighted by area where they are places, are the numbers of the whole."""
    names = ("area", "volume", "x", "y", "z")
    source = PhantomSpec.model_validate(PHANTOM | {"lesion_conditions": names})
    for subject in source.subjects():
        volume = source.read(subject)
        assert volume.known is not None
        assert volume.labels is not None
        shown = source.measure(volume.labels, volume.position)
        assert tuple(shown) == names
        area = shown["area"].values
        torch.testing.assert_close(area, volume.known[:, 0])
        torch.testing.assert_close(shown["volume"].values.mean(), volume.known[0, 1])
        for column, name in enumerate(names[2:], start=2):
            place = (shown[name].values.nan_to_num() * area).sum() / area.sum()
            torch.testing.assert_close(place, volume.known[0, column], rtol=1e-4, atol=1e-3)


def test_a_label_map_at_half_the_size_shows_about_the_same() -> None:
    """A lesion of 15 mm or more at 3 mm and at 6 mm pixels: each pixel in four is looked at."""
    settings = PHANTOM | {"size": 64, "lesion_radius_mm": (15.0, 30.0), "lesion_conditions": ("area",)}
    source = PhantomSpec.model_validate(settings)
    volume = source.read(source.subjects()[0])
    assert volume.labels is not None
    whole, half = (
        source.measure(labels, volume.position)["area"].values.sum()
        for labels in (volume.labels, volume.labels[:, ::2, ::2])
    )
    assert float(half) == pytest.approx(float(whole), rel=0.1)


def test_a_source_that_knows_no_numbers_measures_none(tmp_path: Path) -> None:
    assert PhantomSpec().measure(torch.zeros(2, 8, 8, dtype=torch.uint8), torch.zeros(2)) == {}
    assert NiftiSpec(root=tmp_path).measure(torch.zeros(2, 8, 8, dtype=torch.uint8), torch.zeros(2)) == {}
