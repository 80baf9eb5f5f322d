from collections.abc import Callable
from typing import Any

import pytest
import torch

from evaluation import psnr, ssim, stand_alone
from sbldm.diffusion.samplers import Adaptive, Ddim, SamplerSpec, Stopping, record, replay, sample
from sbldm.model import CUES, full_walk
from sbldm.model.generate import draw_positions
from sbldm.seeding import derive_seed, sample_noise
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.early_stop_pairs import _settle, compare_early_stops, name_numbers, name_results, stop_at
from search.sampling import sample_stage
from search.stages import Trained, codec_stage, data_stage, network_stage

Follow = Callable[..., tuple[list[Any], Any]]
RULE = Adaptive(inner=Ddim(steps=8), patience=2, snr_min=0.01)
THRESHOLDS = (0.3, 1e6)
COUNT, SEED = 5, 3


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def trained(tiny: ExperimentConfig, cache: Cache, follow: Follow) -> Trained:
    config = override(tiny, {"cutmix.probability": 0.0})
    data = follow(data_stage(config, cache))[1].data
    codec, digest = follow(codec_stage(config, data, cache))[1]
    found: Trained = follow(network_stage(config, data, codec, digest, cache))[1]
    return found


@pytest.fixture(scope="module")
def compare(trained: Trained, cache: Cache, follow: Follow) -> Callable[..., tuple[list[Any], Any]]:
    settings = {"sampler": RULE, "count": COUNT, "seed": SEED, "batch": 3, "cache": cache, "device": "cpu"}

    def run(**changes: Any) -> tuple[list[Any], Any]:
        return follow(compare_early_stops(trained.model, trained.digest, **(settings | changes)))

    return run


def test_the_pairs_are_what_a_replay_of_the_full_walk_predicts(trained: Trained, compare: Any) -> None:
    """Record one full walk and ask what each threshold would have done: another way to the same images."""
    model = trained.model
    noise = sample_noise(SEED, range(COUNT), model.spec.latent_shape)
    cues = torch.zeros(COUNT, len(CUES))
    cues[:, 0] = draw_positions(model.positions, SEED, range(COUNT))
    seeds = [derive_seed(SEED, "sample", index) for index in range(COUNT)]
    walk = record(sample(RULE.inner, model.denoiser(), noise, cues, seeds=seeds), model.spec.schedule.build())
    full = stand_alone(((model.codec.decode(walk.clean[-1]).images + 1) / 2).clamp(0, 1))
    for found, threshold in zip(compare(thresholds=THRESHOLDS)[1], THRESHOLDS, strict=True):
        predicted = replay(walk, Stopping(threshold=threshold, patience=RULE.patience, snr_min=RULE.snr_min))
        stopped = stand_alone(((model.codec.decode(predicted.clean).images + 1) / 2).clamp(0, 1))
        assert found.network_calls == pytest.approx(float(predicted.calls.double().mean()))
        assert found.full_network_calls == 8
        assert found.saved == pytest.approx(float(predicted.saved.double().mean()) / 8)
        assert found.results["ssim"].point == pytest.approx(ssim(full, stopped).point, abs=1e-5)  # batches round


def test_a_looser_threshold_saves_more_and_resembles_less(compare: Any) -> None:
    strict, loose = compare(thresholds=THRESHOLDS)[1]
    assert loose.saved > strict.saved
    assert loose.results["ms_ssim"].point < strict.results["ms_ssim"].point
    for result in loose.results.values():
        assert result.low < result.point < result.high
        assert result.note.startswith("stopped early against the full walk from the same noise; whole slice")


def test_what_never_stops_is_identical(compare: Any) -> None:
    """No level of the walk is as clean as this rule asks for."""
    (never,) = compare(sampler=Adaptive(inner=Ddim(steps=8), snr_min=1e12), thresholds=(1e6,))[1]
    assert never.saved == 0
    assert never.results["ssim"].point == 1
    assert "5 of 5 pairs are identical" in never.results["psnr"].note


def test_a_pair_that_differs_by_rounding_is_identical() -> None:
    full = torch.full((2, 1, 4, 4), 0.5)
    stopped = full + torch.tensor([1e-5, 1e-3]).view(2, 1, 1, 1)
    settled = _settle(full, stopped)
    assert torch.equal(settled[0], full[0])
    assert torch.equal(settled[1], stopped[1])


def test_the_full_walk_is_shared_with_the_samples_of_a_run(
    trained: Trained, compare: Any, cache: Cache, follow: Follow
) -> None:
    arguments = {"sampler": RULE.inner, "count": COUNT, "seed": SEED, "batch": 5, "cache": cache, "device": "cpu"}
    follow(sample_stage(trained.model, trained.digest, **arguments))
    events, _ = compare(thresholds=(0.3,))
    assert events[0].stage == "samples"
    assert events[0].cached


def test_the_runs_own_rule_is_kept_but_for_the_threshold() -> None:
    run = Adaptive(inner=Ddim(steps=7), threshold=0.5, patience=3, snr_min=2.0)
    assert stop_at(run, 0.1) == Adaptive(inner=Ddim(steps=7), threshold=0.1, patience=3, snr_min=2.0)
    assert stop_at(Ddim(steps=7), 0.1) == Adaptive(inner=Ddim(steps=7), threshold=0.1)
    plain: SamplerSpec = Ddim(steps=7)
    assert full_walk(run) == full_walk(plain) == plain


def test_a_threshold_that_stops_nothing_is_refused(compare: Any) -> None:
    with pytest.raises(ValueError, match=r"above 0.*threshold=0"):
        compare(thresholds=(0.1, 0.0))


def test_names_say_the_threshold_and_the_metric(compare: Any) -> None:
    pairs = compare(thresholds=THRESHOLDS, measures=(psnr,))[1]
    assert list(name_results(pairs)) == ["early_stop/0.3/psnr", "early_stop/1e+06/psnr"]
    numbers = name_numbers(pairs)
    assert numbers["early_stop/1e+06/saved"] == pytest.approx(1 - numbers["early_stop/1e+06/network_calls"] / 8)
