import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from sbldm.diffusion.cutmix import (
    CutMixSpec,
    Mixed,
    beta_quantile,
    box_masks,
    choose_partners,
    cut_boxes,
    cutmix,
    position_bins,
)

ALWAYS = CutMixSpec(probability=1.0, position_bins=1)


def numbered(batch: int, height: int = 8, width: int = 8) -> Tensor:
    """Return latents whose every pixel holds the number of its sample."""
    return torch.arange(batch).float()[:, None, None, None].expand(batch, 2, height, width).clone()


def mix(latents: Tensor, positions: Tensor, spec: CutMixSpec, seed: int = 0) -> Mixed:
    return cutmix(latents, positions, spec, torch.Generator().manual_seed(seed))


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(
    batch=st.integers(1, 9),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    alpha=st.floats(0.01, 50),
    bins=st.integers(1, 4),
    seed=st.integers(0, 10_000),
)
def test_each_sample_holds_itself_and_one_box_of_one_partner(
    batch: int, height: int, width: int, alpha: float, bins: int, seed: int
) -> None:
    positions = torch.rand(batch, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    spec = CutMixSpec(probability=1, alpha=alpha, position_bins=bins)
    mixed = mix(numbered(batch, height, width), positions, spec, seed)
    where = position_bins(positions, bins)
    for own in range(batch):
        sample = mixed.latents[own]
        foreign = sample[0] != own
        assert torch.equal(sample[0], sample[1])  # all channels travel together
        assert bool(foreign.any()) == bool(mixed.flags[own])
        partners = sample[0][foreign].unique().long().tolist()
        assert len(partners) <= 1
        kept = 1 - float(foreign.double().mean())
        if partners:
            assert where[partners[0]] == where[own]
            rows, columns = foreign.any(1), foreign.any(0)
            assert torch.equal(foreign, rows[:, None] & columns[None, :])
            assert max(int(line.long().diff().abs().sum()) for line in (rows, columns)) <= 2  # one box, no gap
            expected = kept * positions[own] + (1 - kept) * positions[partners[0]]
            assert float(mixed.positions[own]) == pytest.approx(float(expected), abs=1e-6)
        else:
            assert mixed.positions[own] == positions[own]


def test_a_lone_sample_keeps_itself_unflagged() -> None:
    positions = torch.tensor([-0.9, -0.8, 0.9])
    mixed = [mix(numbered(3), positions, CutMixSpec(probability=1, position_bins=4), seed) for seed in range(20)]
    assert all(torch.equal(each.latents[2], numbered(3)[2]) and each.flags[2] == 0 for each in mixed)
    assert any(each.flags[0] == 1 for each in mixed)


def test_without_probability_nothing_changes() -> None:
    latents, positions = numbered(6), torch.linspace(-1, 1, 6)
    mixed = mix(latents, positions, CutMixSpec())
    assert torch.equal(mixed.latents, latents)
    assert torch.equal(mixed.positions, positions)
    assert not mixed.flags.any()


def test_the_generator_alone_decides() -> None:
    latents, positions = numbered(6), torch.zeros(6)
    first, again, other = (mix(latents, positions, ALWAYS, seed) for seed in (1, 1, 2))
    assert torch.equal(first.latents, again.latents)
    assert not torch.equal(first.latents, other.latents)
    assert torch.equal(latents, numbered(6))


def test_an_untold_network_sees_the_same_mix_without_flags() -> None:
    quiet = ALWAYS.model_copy(update={"tell_network": False})
    told, untold = mix(numbered(6), torch.zeros(6), ALWAYS), mix(numbered(6), torch.zeros(6), quiet)
    assert torch.equal(told.latents, untold.latents)
    assert told.flags.any()
    assert not untold.flags.any()


def test_boxes_and_the_share_they_leave_are_worked_out_by_hand() -> None:
    boxes = cut_boxes(doubles(0.75, 0.75, 0.0, 1.0), doubles(0.5, 0.0, 0.5, 0.5), doubles(0.5, 0.99, 0.5, 0.5), 8, 8)
    edges = [each.tolist() for each in (boxes.top, boxes.bottom, boxes.left, boxes.right)]
    assert edges == [[2, 0, 0, 4], [6, 2, 8, 4], [2, 5, 0, 4], [6, 8, 8, 4]]
    assert boxes.kept.tolist() == [1 - 16 / 64, 1 - 6 / 64, 0.0, 1.0]  # the second lost its corner at the border
    masks = box_masks(boxes, 8, 8)
    assert masks.sum((1, 2)).tolist() == [16, 6, 64, 0]
    assert bool(masks[0, 2:6, 2:6].all())


@pytest.mark.parametrize("alpha", [0.4, 1.0, 3.0])
def test_uniform_shares_give_beta_draws(alpha: float) -> None:
    draws = beta_quantile((torch.arange(10_000).double() + 0.5) / 10_000, alpha)
    assert float(draws.mean()) == pytest.approx(0.5)
    assert float(draws.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=1e-3)


@pytest.mark.parametrize("probability", [0.3, 0.8])
def test_as_many_are_mixed_as_the_probability_says(probability: float) -> None:
    spec = CutMixSpec(probability=probability, alpha=100, position_bins=1)  # so even a share that no box is empty
    flags = torch.cat([mix(numbered(50), torch.zeros(50), spec, seed).flags for seed in range(40)])
    assert float(flags.mean()) == pytest.approx(probability, abs=0.05)  # 2000 draws: 5 standard errors


def test_position_bins_cover_both_ends() -> None:
    assert position_bins(torch.tensor([-1.0, -0.51, -0.49, 0.0, 0.99, 1.0]), 4).tolist() == [0, 0, 1, 2, 3, 3]


def test_partners_are_chosen_evenly_among_the_others() -> None:
    bins = torch.tensor([0, 0, 0, 1])
    picks = torch.stack([choose_partners(bins, torch.full((4,), (i + 0.5) / 10).double()) for i in range(10)])
    assert_close(picks[:, 0].bincount(minlength=4), torch.tensor([0, 5, 5, 0]))
    assert_close(picks[:, 1].bincount(minlength=4), torch.tensor([5, 0, 5, 0]))
    assert (picks[:, 3] == 3).all()


@pytest.mark.parametrize("setting", [{"probability": 1.5}, {"alpha": 0}, {"position_bins": 0}, {"probabilty": 0.5}])
def test_a_setting_that_breaks_a_rule_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(setting))):
        CutMixSpec.model_validate(setting)
