from collections.abc import Callable
from typing import Any

import pytest

from sbldm.data import PreparedData
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.stages import codec_stage, data_stage, network_stage

Follow = Callable[..., tuple[list[Any], Any]]


@pytest.fixture
def cache(finished: Any) -> Cache:
    return Cache(finished.home / "cache")


@pytest.fixture
def data(tiny: ExperimentConfig, cache: Cache, follow: Follow) -> PreparedData:
    prepared: PreparedData = follow(data_stage(tiny, cache))[1].data
    return prepared


@pytest.mark.parametrize(
    "changes, shared",
    [
        ({"schedule": {"kind": "gamma", "gamma": 1.0}}, True),
        ({"schedule": {"kind": "gamma", "gamma": 2.0}}, False),
        ({"sampler.steps": 3}, True),
        ({"evaluation.samples": 5}, True),
        ({"training.commit_every": 7}, True),
        ({"training.validations": 0}, True),
        ({"training.learning_rate": 2e-3}, False),
        ({"loss": {"kind": "mse", "snr_clip": 5.0}}, False),
        ({"seed": 9}, False),
    ],
)
def test_a_training_is_shared_by_all_settings_that_make_the_same_weights(
    tiny: ExperimentConfig, data: PreparedData, cache: Cache, follow: Follow, changes: dict[str, Any], shared: bool
) -> None:
    def network(config: ExperimentConfig) -> str:
        codec, digest = follow(codec_stage(config, data, cache))[1]
        return str(follow(network_stage(config, data, codec, digest, cache))[1].digest)

    assert (network(tiny) == network(override(tiny, changes))) is shared


def test_a_shared_model_walks_the_schedule_that_was_asked_for(
    tiny: ExperimentConfig, data: PreparedData, cache: Cache, follow: Follow
) -> None:
    asked = override(tiny, {"schedule": {"kind": "gamma", "gamma": 1.0}})
    codec, digest = follow(codec_stage(asked, data, cache))[1]
    assert follow(network_stage(asked, data, codec, digest, cache))[1].model.spec.schedule == asked.schedule
