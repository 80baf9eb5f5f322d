from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sbldm.data import PreparedData, SliceSet
from sbldm.errors import DataError, RunError
from sbldm.files import read_json, write_json
from search.downstream.identity import (
    RECORD,
    from_record,
    identify,
    identify_images,
    image_digest,
    keep_patients,
    recall_patients,
    shared,
    strangers,
    to_record,
)
from search.downstream.restrict import restrict_training, select_patients


def slices(patients: list[int], seed: int = 0) -> SliceSet:
    """Return two random 16 x 16 slices of each patient."""
    count = 2 * len(patients)
    random = torch.Generator().manual_seed(seed)
    return SliceSet(
        images=torch.rand(count, 1, 16, 16, generator=random) * 2 - 1,
        labels=torch.randint(0, 3, (count, 16, 16), generator=random).to(torch.uint8),
        subjects=torch.tensor(patients).repeat_interleave(2),
        positions=torch.zeros(count),
        label_names=("one", "two"),
    )


@pytest.fixture
def data() -> PreparedData:
    return PreparedData(slices([0, 1, 2, 3]), slices([0], 1), slices([0, 1], 2), "split")


def test_a_patient_is_known_under_another_number_and_in_another_order() -> None:
    one = slices([0, 1])
    other = replace(one.select(torch.tensor([3, 2, 1, 0])), subjects=torch.tensor([7, 7, 9, 9]))
    assert identify(one)[0] == identify(other)[9]
    assert identify(one)[1] == identify(other)[7]


def test_a_patient_is_known_by_any_one_slice() -> None:
    one = slices([0, 1, 2])
    part = identify(one.select(torch.tensor([0, 4, 5]))).values()
    assert shared(identify(one).values(), part) == 2
    assert strangers(identify(one).values(), part) == 2  # the first lacks a slice there, the second both
    assert strangers(part, identify(one).values()) == 0


def test_an_image_is_known_after_a_png_file(tmp_path: Path) -> None:
    image = torch.rand(1, 16, 16)
    Image.fromarray((image[0] * 255).round().byte().numpy()).save(tmp_path / "image.png")
    back = torch.from_numpy(np.array(Image.open(tmp_path / "image.png"))).float()[None] / 255
    assert not torch.equal(image, back)
    assert image_digest(image) == image_digest(back)


def test_slices_and_images_of_a_patient_have_one_identity() -> None:
    one = slices([0, 1])
    assert identify(one) == identify_images((one.images + 1) / 2, one.subjects)


def test_one_gray_level_makes_another_slice() -> None:
    image = torch.zeros(1, 16, 16)
    brighter = image.clone()
    brighter[0, 3, 3] = 1 / 255
    assert image_digest(image) != image_digest(brighter)


def test_a_record_of_patients_comes_back(tmp_path: Path) -> None:
    keep_patients(tmp_path, slices([4, 5]))
    assert recall_patients(tmp_path) == tuple(identify(slices([4, 5])).values())
    assert recall_patients(tmp_path / "elsewhere") is None


def test_an_altered_record_is_refused(tmp_path: Path) -> None:
    keep_patients(tmp_path, slices([4, 5]))
    record = read_json(tmp_path / RECORD)
    record[next(iter(record))].pop()
    write_json(tmp_path / RECORD, record)
    with pytest.raises(RunError, match="altered"):
        recall_patients(tmp_path)
    assert from_record(to_record([])) == ()


def test_fewer_training_patients_leave_validation_and_test_alone(data: PreparedData) -> None:
    fewer = restrict_training(data, [3, 1])
    assert fewer.validation is data.validation
    assert fewer.test is data.test
    assert fewer.train.subjects.tolist() == [0, 0, 1, 1]
    assert torch.equal(fewer.train.images, data.train.images[[2, 3, 6, 7]])
    assert fewer.digest != data.digest


def test_all_training_patients_are_the_data_as_they_were(data: PreparedData) -> None:
    assert restrict_training(data, [2, 0, 1, 3]) is data


@pytest.mark.parametrize("patients", [[], [0, 0], [0, 9]])
def test_patients_who_are_not_there_are_refused(data: PreparedData, patients: list[int]) -> None:
    with pytest.raises(DataError, match="training patients must be some of the 4"):
        restrict_training(data, patients)


def test_chosen_patients_keep_their_labels_and_positions(data: PreparedData) -> None:
    chosen = select_patients(data.train, [2])
    assert torch.equal(chosen.labels, data.train.labels[4:6])
    assert chosen.label_names == data.train.label_names
