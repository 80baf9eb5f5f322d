"""What the phantom says of its lesions, against boxes worked by hand and against its own label maps."""

import math

import pytest
import torch
from pydantic import ValidationError

from sbldm.data.sources.anatomy import Frame
from sbldm.data.sources.lesions import measure_lesions
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
