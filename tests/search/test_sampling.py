"""Samples on disk: conditions count in the entry only when asked for, and lie beside the images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sbldm.errors import ConfigError
from sbldm.spec import digest_of
from search.cache import Cache
from search.config import ExperimentConfig, build_config
from search.sampling import Samples, parse_conditions, sample_stage
from search.stages import Trained, codec_stage, data_stage, network_stage, untrained

Follow = Callable[..., tuple[list[Any], Any]]
LESIONS = {"lesion_probability": 1.0, "lesion_conditions": ["volume", "area"]}


def train(config: ExperimentConfig, cache: Cache, follow: Follow) -> Trained:
    data = follow(data_stage(config, cache))[1].data
    codec, digest = follow(codec_stage(config, data, cache))[1]
    trained: Trained = follow(network_stage(config, data, codec, digest, cache))[1]
    return trained


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def config(tiny: ExperimentConfig) -> ExperimentConfig:
    data = tiny.data.model_dump(mode="python", context={"complete": True}) | LESIONS
    return build_config(tiny.model_dump(mode="python") | {"data": data})


@pytest.fixture(scope="module")
def told(config: ExperimentConfig, cache: Cache, follow: Follow) -> Trained:
    return train(config, cache, follow)


@pytest.fixture
def draw(config: ExperimentConfig, cache: Cache, follow: Follow) -> Callable[..., Samples]:
    def sample(trained: Trained, **settings: Any) -> Samples:
        fixed: dict[str, Any] = {"sampler": config.sampler, "count": 6, "seed": 0, "batch": 4, "cache": cache}
        samples: Samples = follow(sample_stage(trained.model, trained.digest, **fixed, device="cpu", **settings))[1]
        return samples

    return sample


def test_the_conditions_of_each_sample_lie_beside_its_image(told: Trained, draw: Callable[..., Samples]) -> None:
    wish = float(told.model.conditioner.rows.values[:, 0].max())  # type: ignore[union-attr]
    samples = draw(told, conditions={"volume": wish}, guidance=1.0)
    assert samples.conditions["volume"].tolist() == [wish] * 6
    assert set(samples.conditions) == {"volume", "area"}
    with np.load(samples.path, allow_pickle=False) as arrays:
        assert arrays["condition_names"].tolist() == ["volume", "area"]
        torch.testing.assert_close(torch.from_numpy(arrays["conditions"])[:, 1], samples.conditions["area"])
    assert samples.network_calls == 4  # two steps, two calls each


def test_what_is_asked_names_the_entry_and_nothing_asked_names_none(
    told: Trained, draw: Callable[..., Samples]
) -> None:
    wish = float(told.model.conditioner.rows.values[:, 0].max())  # type: ignore[union-attr]
    asked = [{}, {"guidance": 1.0}, {"conditions": {"volume": wish}}, {"conditions": {"volume": wish / 2}}]
    assert len({draw(told, **settings).path for settings in asked}) == 4
    assert draw(told).path == draw(told, conditions={}, guidance=0.0).path


def test_a_refused_condition_leaves_no_samples(told: Trained, draw: Callable[..., Samples], cache: Cache) -> None:
    before = set((cache.root / "samples").rglob("samples.npz"))
    with pytest.raises(ConfigError, match="unknown condition 'size'"):
        draw(told, conditions={"size": 1.0})
    assert set((cache.root / "samples").rglob("samples.npz")) == before


def test_conditioned_and_plain_networks_share_the_autoencoder_and_nothing_else(
    config: ExperimentConfig, told: Trained, cache: Cache, follow: Follow
) -> None:
    plain_data = config.data.model_dump(mode="python") | {"lesion_conditions": []}
    plain = train(build_config(config.model_dump(mode="python") | {"data": plain_data}), cache, follow)
    assert plain.codec_digest == told.codec_digest
    assert plain.digest != told.digest
    assert plain.untrained_digest != told.untrained_digest


def test_a_plain_model_writes_the_arrays_it_always_wrote(
    tiny: ExperimentConfig, config: ExperimentConfig, cache: Cache, follow: Follow, draw: Callable[..., Samples]
) -> None:
    plain = train(tiny, cache, follow)
    samples = draw(plain)
    assert samples.conditions == {}
    old_name = digest_of([plain.digest, config.sampler.model_dump(mode="json"), 6, 0])
    assert samples.path.parent.name == old_name  # as before there were conditions
    with np.load(samples.path, allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["images", "labels", "positions"]


def test_an_untrained_model_is_told_conditions_too(config: ExperimentConfig, cache: Cache, follow: Follow) -> None:
    data = follow(data_stage(config, cache))[1].data
    model = untrained(config, data, train(config, cache, follow).model)
    assert model.spec.conditions == ("volume", "area")
    assert model.conditioner is not None


def test_another_table_of_conditions_is_other_data(
    tiny: ExperimentConfig, cache: Cache, follow: Follow, tmp_path: Path
) -> None:
    digests = []
    for factor in (1, 2):
        rows = "".join(f"phantom-{index:05d},{factor * index}\n" for index in range(14))
        (tmp_path / "numbers.csv").write_text(f"patient,age\n{rows}")
        data = tiny.data.model_dump(mode="python") | {"conditions": tmp_path / "numbers.csv"}
        config = build_config(tiny.model_dump(mode="python") | {"data": data})
        assert str(tmp_path) not in str(config.public())
        digests.append(follow(data_stage(config, cache))[1].digest)
    assert len(set(digests)) == 2


def test_words_become_conditions_or_are_refused() -> None:
    assert parse_conditions(["volume=1200", " x = -3.5 ", "volume=1e3"]) == {"volume": 1000.0, "x": -3.5}
    for word in ("volume", "volume=", "volume=big"):
        with pytest.raises(ConfigError, match="must be NAME=NUMBER"):
            parse_conditions([word])
