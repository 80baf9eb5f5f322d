from dataclasses import replace

import pytest
import torch

from sbldm.data import PreparedData, SliceSet
from sbldm.errors import DataError
from search.downstream.identity import Patients, identify
from search.downstream.leaks import LeakAudit, Learner, check_copies, check_learners, check_parts


def slices(patients: list[int], seed: int = 0) -> SliceSet:
    count = 2 * len(patients)
    random = torch.Generator().manual_seed(seed)
    return SliceSet(
        images=torch.rand(count, 1, 16, 16, generator=random) * 2 - 1,
        labels=torch.zeros(count, 16, 16, dtype=torch.uint8),
        subjects=torch.tensor(patients).repeat_interleave(2),
        positions=torch.zeros(count),
        label_names=("one",),
    )


@pytest.fixture
def data() -> PreparedData:
    return PreparedData(slices([0, 1, 2, 3]), slices([0], 1), slices([0, 1], 2), "split")


def people(part: SliceSet) -> Patients:
    return tuple(identify(part).values())


def broken(*learners: Learner, test: SliceSet) -> list[str]:
    return [check.rule for check in check_learners(learners, people(test)) if not check.holds]


def test_a_model_that_saw_its_own_patients_passes(data: PreparedData) -> None:
    half = people(data.train)[:2]
    assert broken(Learner("generator", half, half), test=data.test) == []


def test_a_test_patient_in_the_generators_list_is_caught(data: PreparedData) -> None:
    half = people(data.train)[:2]
    leaky = Learner("autoencoder at 10 %", half, (*half, people(data.test)[1]))
    audit = LeakAudit(check_learners([Learner("network at 10 %", half, half), leaky], people(data.test)))
    assert not audit.holds
    with pytest.raises(DataError, match=r"test patient, but 1 of 2 do not hold \(autoencoder at 10 %\)"):
        audit.require()


def test_one_slice_of_a_test_patient_is_enough(data: PreparedData) -> None:
    one_slice = people(replace(data.test.select(torch.tensor([3])), subjects=torch.tensor([0])))
    mine = people(data.train)
    assert "no model may learn from a test patient" in broken(Learner("g", mine, mine + one_slice), test=data.test)


def test_a_generator_of_the_whole_training_set_fails_at_a_fraction(data: PreparedData) -> None:
    everyone = people(data.train)
    found = broken(Learner("generator at 10 %", everyone[:1], everyone), test=data.test)
    assert found == ["no model may learn from a patient outside its fraction"]


def test_a_generator_without_a_record_fails(data: PreparedData) -> None:
    found = broken(Learner("generator", people(data.train), None), test=data.test)
    assert found == ["every model must have recorded whom it learned from"]


def test_a_test_slice_among_the_synthetic_ones_is_caught(data: PreparedData) -> None:
    mine = people(data.train)
    stolen = frozenset(list(people(data.test)[0].slices)[:1])
    found = broken(Learner("segmenter", mine, mine, stolen), test=data.test)
    assert found == ["no synthetic slice learned from may equal a test slice"]


def test_a_patient_in_two_parts_under_another_number_is_caught(data: PreparedData) -> None:
    twin = replace(data.train.select(torch.tensor([6, 7])), subjects=torch.tensor([5, 5]))
    mixed = replace(
        data, test=SliceSet(**{**vars(data.test), "images": torch.cat([data.test.images[:2], twin.images])})
    )
    assert check_parts(data).holds
    assert check_parts(mixed).broken == 1


@pytest.mark.parametrize("copy", [lambda image: image, lambda image: image.flip(-1), lambda image: image + 1e-4])
def test_copies_of_test_slices_are_counted(data: PreparedData, copy: object) -> None:
    test, other = (data.test.images + 1) / 2 * 0.99, (data.train.images + 1) / 2
    test = (test * 255).round() / 255
    synthetic = torch.cat([other[:3], copy(test[1:2])])  # type: ignore[operator]
    assert check_copies("folder", other, test).holds
    found = check_copies("folder", synthetic, test)
    assert (found.looked_at, found.broken) == (4, 1)


def test_an_audit_that_holds_says_what_it_cannot_know(data: PreparedData) -> None:
    audit = LeakAudit((check_parts(data),), ("Who trained the generator is not known.",))
    audit.require()
    assert audit.sentences() == (
        "The leakage audit found no leak: 1 rules, looked at 7 times.",
        "Who trained the generator is not known.",
    )
    assert audit.to_json()["holds"] is True
