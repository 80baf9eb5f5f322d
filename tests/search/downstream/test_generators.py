from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from sbldm.data import PreparedData, SliceSet
from sbldm.errors import DataError
from search.cache import Cache
from search.config import ExperimentConfig
from search.downstream.generators import generator_stage, learners_of, synthetic_stage
from search.downstream.identity import RECORD, identify
from search.downstream.leaks import LeakAudit, check_learners
from search.events import StageFinished
from search.experiment import train_stages
from search.stages import data_stage

Follow = Callable[..., tuple[list[Any], Any]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def data(tiny: ExperimentConfig, cache: Cache, follow: Follow) -> PreparedData:
    return follow(data_stage(tiny, cache))[1].data  # type: ignore[no-any-return]


def test_the_generator_of_a_fraction_saw_its_patients_and_no_other(
    tiny: ExperimentConfig, data: PreparedData, cache: Cache, follow: Follow
) -> None:
    _, made = follow(generator_stage(tiny, data, cache, fraction=0.25, patients=[5, 2]))
    known = identify(data.train)
    assert made.fraction == 0.25
    assert [learner.name for learner in made.learners] == ["autoencoder at 25 %", "network at 25 %"]
    for learner in made.learners:
        assert set(learner.saw) == {known[2], known[5]}
        assert learner.saw == learner.allowed
    _, samples = follow(synthetic_stage(tiny, made, cache, count=3, seed=1))
    assert samples.images.shape == (3, 1, 32, 32)


def test_the_generator_of_all_patients_is_the_runs_own(
    tiny: ExperimentConfig, data: PreparedData, cache: Cache, follow: Follow
) -> None:
    _, own = follow(train_stages(tiny, data, cache))
    everyone = sorted(set(data.train.subjects.tolist()))
    events, made = follow(generator_stage(tiny, data, cache, fraction=1.0, patients=everyone[::-1]))
    assert made.trained.digest == own.digest
    assert all(event.cached for event in events if isinstance(event, StageFinished))


def test_a_generator_trained_earlier_on_a_test_patient_is_caught_by_its_record(
    tiny: ExperimentConfig, data: PreparedData, cache: Cache, follow: Follow
) -> None:
    stolen = data.test.select(data.test.subjects == 1)
    number = int(data.train.subjects.max()) + 1  # another number than among the test patients
    train = SliceSet(
        images=torch.cat([data.train.images, stolen.images]),
        labels=torch.cat([data.train.labels, stolen.labels]),
        subjects=torch.cat([data.train.subjects, torch.full((len(stolen),), number)]),
        positions=torch.cat([data.train.positions, stolen.positions]),
        label_names=data.train.label_names,
    )
    _, leaky = follow(train_stages(tiny, replace(data, train=train), cache))
    allowed = tuple(identify(data.train).values())
    learners = learners_of(leaky, cache, allowed=allowed, fraction=1.0)
    audit = LeakAudit(check_learners(learners, identify(data.test).values()))
    with pytest.raises(DataError, match=r"learn from a test patient, but 2 of 2 .*\(autoencoder at 100 %, network"):
        audit.require()


def test_a_model_without_a_record_is_not_taken_on_trust(
    tiny: ExperimentConfig, data: PreparedData, cache: Cache, follow: Follow
) -> None:
    _, own = follow(train_stages(tiny.model_copy(update={"seed": 9}), data, cache))
    (own.directory / RECORD).unlink()
    learners = learners_of(own, cache, allowed=tuple(identify(data.train).values()), fraction=1.0)
    with pytest.raises(DataError, match=r"must have recorded .* 1 of 2 do not hold \(network at 100 %\)"):
        LeakAudit(check_learners(learners, identify(data.test).values())).require()
