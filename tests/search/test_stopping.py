"""Samples taken from one recorded walk against samples that each stop by themselves."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from sbldm.diffusion.samplers import Adaptive, Ddim, Ddpm, SamplerSpec
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.events import StageFinished
from search.sampling import Samples, sample_stage
from search.stages import Trained, codec_stage, data_stage, network_stage
from search.stopping import stopped_stage

Follow = Callable[..., tuple[list[Any], Any]]
COUNT, ROUNDING = 7, 1e-5  # of intensities in [0, 1]: a batch of another size sums in another order
INNERS: tuple[SamplerSpec, ...] = (Ddim(steps=8), Ddim(steps=8, eta=1.0), Ddpm(steps=8))


@pytest.fixture(scope="module")
def trained(tiny: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory, follow: Follow) -> Trained:
    config, cache = override(tiny, {"cutmix.probability": 0.0}), Cache(tmp_path_factory.mktemp("cache"))
    data = follow(data_stage(config, cache))[1].data
    codec, digest = follow(codec_stage(config, data, cache))[1]
    found: Trained = follow(network_stage(config, data, codec, digest, cache))[1]
    return found


def draw(stage: Any, trained: Trained, folder: Any, follow: Follow, **settings: Any) -> tuple[list[Any], Samples]:
    fixed: dict[str, Any] = {"count": COUNT, "seed": 3, "batch": 4, "cache": Cache(folder), "device": "cpu"}
    events, samples = follow(stage(trained.model, trained.digest, **fixed, **settings))
    return [event for event in events if isinstance(event, StageFinished)], samples


@pytest.mark.parametrize("inner", INNERS, ids=["ddim", "ddim with noise", "ddpm"])
@pytest.mark.parametrize("criterion", ["error", "change"])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 1e6])
def test_what_is_taken_from_the_walk_is_what_stops_by_itself(
    trained: Trained, tmp_path: Any, follow: Follow, inner: Any, criterion: Any, threshold: float
) -> None:
    rule = Adaptive(
        inner=inner, threshold=threshold, criterion=criterion, patience=2, snr_min=0.01, precision="float32"
    )
    _, alone = draw(sample_stage, trained, tmp_path / "alone", follow, sampler=rule)
    _, taken = draw(stopped_stage, trained, tmp_path / "taken", follow, sampler=rule, rule=rule)
    assert taken.network_calls == alone.network_calls
    assert_close(taken.images, alone.images, rtol=0, atol=ROUNDING)
    assert torch.equal(taken.labels, alone.labels)


def test_the_full_walk_is_the_inner_samplers(trained: Trained, tmp_path: Any, follow: Follow) -> None:
    rule = Adaptive(inner=INNERS[0], threshold=0.3, snr_min=0.01)
    _, alone = draw(sample_stage, trained, tmp_path / "alone", follow, sampler=rule.inner)
    _, taken = draw(stopped_stage, trained, tmp_path / "taken", follow, sampler=rule.inner, rule=rule)
    assert taken.network_calls == alone.network_calls == 8
    assert_close(taken.images, alone.images, rtol=0, atol=ROUNDING)


def test_all_thresholds_of_a_model_share_one_walk(trained: Trained, tmp_path: Any, follow: Follow) -> None:
    walks = []
    for threshold in (0.0, 0.1, 0.2, 0.4):
        rule = Adaptive(inner=INNERS[0], threshold=threshold, snr_min=0.01)
        stages, samples = draw(stopped_stage, trained, tmp_path, follow, sampler=rule, rule=rule)
        walks += [stage.cached for stage in stages if stage.stage == "walk"]
        assert samples.seconds_per_image > 0
    assert walks == [False, True, True, True]


def test_only_levels_where_a_sample_may_stop_are_kept(trained: Trained, tmp_path: Any, follow: Follow) -> None:
    def size(snr_min: float) -> int:
        rule = Adaptive(inner=INNERS[0], threshold=0.3, snr_min=snr_min)
        draw(stopped_stage, trained, tmp_path / str(snr_min), follow, sampler=rule, rule=rule)
        return sum(path.stat().st_size for path in (tmp_path / str(snr_min)).rglob("walk-*"))

    everything, some, last = size(1e-9), size(1.0), size(1e9)
    assert last < some < everything
    assert last < everything / 5  # one of eight steps, beside headers and what is kept of every sample
