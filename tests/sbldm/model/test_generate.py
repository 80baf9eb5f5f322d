from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbldm.data import SliceSet
from sbldm.diffusion import SAMPLERS
from sbldm.errors import ConfigError
from sbldm.latent import encode_latents
from sbldm.model import GeneratedBatch, LatentDiffusion, ModelSpec, generate

DDIM = SAMPLERS.parse({"kind": "ddim", "steps": 4})
DDPM = SAMPLERS.parse({"kind": "ddpm", "steps": 4})


def join(batches: list[GeneratedBatch]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        torch.cat([b.images for b in batches]),
        torch.cat([b.labels for b in batches]),
        torch.cat([b.positions for b in batches]),
    )


@pytest.mark.parametrize("sampler", [DDIM, DDPM], ids=["ddim", "ddpm"])
def test_a_sample_is_the_same_at_any_batch_size_and_count(model: LatentDiffusion, sampler: object) -> None:
    one = join(list(generate(model, 5, sampler=sampler, seed=0, batch=5)))  # type: ignore[arg-type]
    other = join(list(generate(model, 4, sampler=sampler, seed=0, batch=3)))  # type: ignore[arg-type]
    torch.testing.assert_close(one[0][:4], other[0], rtol=1e-4, atol=1e-4)
    assert (one[1][:4] != other[1]).float().mean() < 0.01
    assert torch.equal(one[2][:4], other[2])
    assert (one[0][0] - one[0][1]).abs().max() > 0.05


def test_the_missing_samples_are_made_as_they_would_have_been(model: LatentDiffusion) -> None:
    whole = list(generate(model, 6, sampler=DDPM, seed=0, batch=2))
    rest = list(generate(model, 6, sampler=DDPM, seed=0, batch=2, first=2))
    assert [batch.first for batch in rest] == [2, 4]
    for made, again in zip(whole[1:], rest, strict=True):
        assert torch.equal(made.images, again.images)
        assert torch.equal(made.labels, again.labels)


def test_another_seed_makes_other_samples(model: LatentDiffusion) -> None:
    (one,), (other,) = (list(generate(model, 4, sampler=DDIM, seed=seed)) for seed in (0, 1))
    assert (one.images - other.images).abs().mean() > 0.05
    assert not torch.equal(one.positions, other.positions)


def test_positions_come_from_the_pool_and_reach_the_network(model: LatentDiffusion) -> None:
    (drawn,) = generate(model, 30, sampler=DDIM, seed=0)
    assert set(drawn.positions.tolist()) <= set(model.positions.tolist())
    assert len(set(drawn.positions.tolist())) > 10
    low, high = (next(generate(model, 3, sampler=DDIM, seed=0, positions=torch.tensor([p]))) for p in (-1.0, 1.0))
    assert torch.equal(high.positions, torch.ones(3))
    assert (low.images - high.images).abs().max() > 1e-3


def test_the_network_is_told_the_position_and_that_nothing_was_mixed(model: LatentDiffusion) -> None:
    told = []
    model.network.register_forward_pre_hook(lambda module, arguments: told.append(arguments[2].clone()))
    (batch,) = generate(model, 3, sampler=DDIM, seed=0)
    assert len(told) == 4
    for cues in told:
        assert torch.equal(cues, torch.stack([batch.positions, torch.zeros(3)], dim=1))


def test_a_batch_is_in_range_and_counts_its_network_calls(model: LatentDiffusion) -> None:
    (batch,) = generate(model, 3, sampler=DDIM, seed=0)
    assert batch.images.shape == (3, 1, 16, 16)
    assert batch.images.abs().max() <= 1
    assert batch.labels.max() <= 1
    assert batch.calls.tolist() == [4, 4, 4]
    assert batch.seconds > 0


@pytest.mark.parametrize("changes", [{"count": 0}, {"batch": 0}, {"first": 4}, {"first": -1}])
def test_an_impossible_count_is_refused(model: LatentDiffusion, changes: dict[str, int]) -> None:
    arguments = {"count": 3, "batch": 2, "first": 0} | changes
    with pytest.raises(ValueError, match=r"must be at least 1 and first in 0\.\.count"):
        next(generate(model, arguments.pop("count"), sampler=DDIM, seed=0, **arguments))


def test_the_layout_of_the_weights_changes_images_by_rounding_and_no_saved_weight(
    model: LatentDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.network.to(memory_format=torch.contiguous_format)
    model.save(tmp_path / "before")
    with monkeypatch.context() as patch:  # as it is on a GPU: weights stay as they lie
        patch.setattr(model.network, "to", lambda **_: model.network)
        (plain,) = generate(model, 4, sampler=DDIM, seed=0)
    (fast,) = generate(model, 4, sampler=DDIM, seed=0)
    assert any(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels(model))
    torch.testing.assert_close(fast.images, plain.images, rtol=1e-4, atol=1e-4)
    model.save(tmp_path / "after")
    names = [sorted(path.name for path in (tmp_path / when).glob("weights-*")) for when in ("before", "after")]
    assert names[0] == names[1], "named by their hash"


def kernels(model: LatentDiffusion) -> list[torch.Tensor]:
    return [weight for weight in model.network.parameters() if weight.ndim == 4 and min(weight.shape) > 1]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_network_computes_in_the_samplers_precision(model: LatentDiffusion, precision: str) -> None:
    seen: list[torch.dtype] = []
    model.network.get_submodule("stem").register_forward_hook(lambda module, told, output: seen.append(output.dtype))
    sampler = SAMPLERS.parse({"kind": "ddim", "steps": 4, "precision": precision})
    (made,) = generate(model, 8, sampler=sampler, seed=0)
    (single,) = generate(model, 8, sampler=DDIM, seed=0)
    assert set(seen) == {getattr(torch, precision), torch.float32}
    assert made.images.dtype == torch.float32
    # bfloat16 keeps 8 bits: one call errs by 2^-9 of what it predicts, and four steps and the decoder carry that on
    torch.testing.assert_close(made.images, single.images, rtol=0, atol=0.1 if precision == "bfloat16" else 0)


def test_the_sampler_leads_the_network_away_from_its_closed_form(
    model: LatentDiffusion, disks: SliceSet, make_spec: Callable[..., ModelSpec]
) -> None:
    """A silent network adds nothing to its closed form, and so cannot be led away from it; another one is."""
    spec = make_spec(skip={"kind": "gaussian", "rank": 8})
    network = spec.build_network(0)
    spec.skip.fit(network, encode_latents(model.codec, disks), disks.positions)
    skipped = LatentDiffusion(spec, model.codec, network.requires_grad_(False), disks.positions)
    led = DDIM.model_copy(update={"autoguidance": 2.0})
    plain, same = (next(generate(skipped, 4, sampler=sampler, seed=0)) for sampler in (DDIM, led))
    torch.testing.assert_close(plain.images, same.images, rtol=0, atol=1e-4)
    list(network.parameters())[-1].data += 0.3
    one, two = (next(generate(skipped, 4, sampler=sampler, seed=0)) for sampler in (DDIM, led))
    assert (one.images - two.images).abs().max() > 0.05
    assert one.calls.tolist() == two.calls.tolist() == [4] * 4, "the closed form is no network call"
    with pytest.raises(ConfigError, match="autoguidance leads away from a closed form, which skip 'none' lacks"):
        next(generate(model, 4, sampler=led, seed=0))
