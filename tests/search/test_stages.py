from collections.abc import Callable
from typing import Any

import pytest
import torch

from sbldm.data import PreparedData
from sbldm.data.conditions import Conditions
from sbldm.files import sha256
from sbldm.model import Conditioner, measure_conditions
from sbldm.nn.networks import Plain, UNet
from sbldm.spec import digest_of
from sbldm.training.stages import EVERY_TENTH
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.stages import codec_stage, data_stage, name_network, network_stage, untrained

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
        ({"loss": {"kind": "radial", "weight": 0.0}}, True),
        ({"loss": {"kind": "radial", "weight": 0.1}}, False),
        ({"seed": 9}, False),
        ({"skip": {"kind": "none"}, "training_levels": {"kind": "uniform"}}, True),
        ({"skip": {"kind": "gaussian"}}, False),
        ({"training_levels": {"kind": "log-normal"}}, False),
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


@pytest.fixture
def conditioner() -> Conditioner:
    return measure_conditions(Conditions(("size",), torch.arange(4.0)[:, None]), torch.arange(4))


def name_before_forms(config: ExperimentConfig, conditioner: Conditioner | None) -> tuple[str, str]:
    """Return the digests as they were before networks had forms."""
    training = config.training.model_dump(mode="json", exclude={"commit_every", "commit_seconds", "validations"})
    settings = [part.model_dump(mode="json") for part in (config.network, config.loss, config.cutmix)]
    levels = sha256(config.schedule.build().alpha_bar.numpy().tobytes())
    told = [conditioner.digest(), EVERY_TENTH.model_dump(mode="json")] if conditioner else []
    trained = ["codec", levels, config.prediction, config.seed, *settings, training, *told]
    return digest_of(trained), digest_of(["untrained", "codec", levels, config.prediction, settings[0], *told[:1]])


def test_a_conditioned_network_cached_in_an_older_form_is_not_taken_for_one_of_today(
    tiny: ExperimentConfig, conditioner: Conditioner
) -> None:
    unet = override(tiny, {"network": {"kind": "unet"}})
    today, before = name_network(unet, "codec", conditioner), name_before_forms(unet, conditioner)
    assert not set(today) & set(before)


@pytest.mark.parametrize("kind, is_told", [("unet", False), ("plain", False), ("plain", True)])
def test_networks_whose_form_never_changed_keep_their_digests(
    tiny: ExperimentConfig, conditioner: Conditioner, kind: str, is_told: bool
) -> None:
    config, told = override(tiny, {"network": {"kind": kind}}), conditioner if is_told else None
    assert name_network(config, "codec", told) == name_before_forms(config, told)


def test_a_form_is_no_setting() -> None:
    for spec in (UNet(), Plain()):
        assert "conditioned_form" not in spec.model_dump()


def test_before_training_a_skip_knows_mean_and_covariance_and_the_network_nothing(
    tiny: ExperimentConfig, data: PreparedData, cache: Cache, follow: Follow
) -> None:
    config = override(tiny, {"skip": {"kind": "gaussian", "degree": 1, "rank": 4}})
    codec, digest = follow(codec_stage(config, data, cache))[1]
    trained = follow(network_stage(config, data, codec, digest, cache))[1]
    blank = untrained(config, data, trained.model).network
    learned = dict(trained.model.network.named_parameters())
    assert blank.get_buffer("mean").abs().sum() > 0
    assert all(closed.equal(trained.model.network.get_buffer(name)) for name, closed in blank.named_buffers())
    assert not all(weight.equal(learned[name]) for name, weight in blank.named_parameters())
    assert trained.untrained_digest != follow(network_stage(tiny, data, codec, digest, cache))[1].untrained_digest
