"""Conditions in training: nothing changes without them, and they are withheld by chance and from mixed latents."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sbldm.data.conditions import Conditions
from sbldm.diffusion import LOSSES, CutMixSpec, cutmix, diffuse
from sbldm.model import CUES, ConditioningSpec, ModelSpec, measure_conditions
from sbldm.seeding import generator
from sbldm.training import DiffusionTask
from sbldm.training.stages import stack_cues
from sbldm.training.task import batch_indices

CPU = torch.device("cpu")
COUNT = 40


def make_task(
    make_spec: Callable[..., ModelSpec], *, mixed: float = 0.0, dropout: float = 0.1, told: bool = True, seed: int = 0
) -> DiffusionTask:
    draws = torch.Generator().manual_seed(3)
    latents = torch.randn(COUNT, 3, 4, 4, generator=draws)
    rows = Conditions(("size",), latents.mean((1, 2, 3))[:, None])
    return DiffusionTask(
        make_spec(conditions=("size",)) if told else make_spec(),
        latents,
        torch.linspace(-1, 1, COUNT),
        loss=LOSSES.parse({"kind": "mse"}),
        cutmix=CutMixSpec(probability=mixed, position_bins=2),
        seed=seed,
        conditioner=measure_conditions(rows, torch.arange(COUNT)) if told else None,
        conditioning=ConditioningSpec(dropout=dropout),
    )


def heard(task: DiffusionTask, step: int = 1, batch: int = COUNT) -> Tensor:
    """Return the cues that the network is called with."""
    seen: list[Tensor] = []
    hook = task.module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2]))
    task.loss(step, batch=batch, seed=0, device=CPU)
    hook.remove()
    return seen[0]


def test_the_loss_without_conditions_is_to_the_bit_what_it_was_before_there_were_any(
    make_diffusion: Callable[..., DiffusionTask],
) -> None:
    """Against the loss as it was then, written out; the network is shaken, so that its cues count."""
    task = make_diffusion()
    draws = torch.Generator().manual_seed(1)
    for weight in task.module.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=draws)
    for step in (1, 2, 3):
        rows = batch_indices(len(task.latents), 7, step, seed=0, stage="diffusion")
        random = generator(0, "diffusion", "step", step)
        mixed = cutmix(task.latents[rows], task.positions[rows], task.cutmix, random)
        t = torch.randint(1, 51, (7,), generator=random)
        noise = torch.randn(mixed.latents.shape, generator=random)
        noisy = diffuse(mixed.latents, noise, t, task.denoiser.schedule)
        found = task.denoiser(noisy, t, stack_cues(mixed.positions, mixed.flags))
        before = task.criterion.per_sample(found, mixed.latents, noise, t, task.denoiser.schedule, "v").mean()
        assert torch.equal(task.loss(step, batch=7, seed=0, device=CPU), before)


def test_losses_are_those_of_the_version_before_conditions(
    make_diffusion: Callable[..., DiffusionTask],
) -> None:
    """Golden: losses of the commit before; the last bits of a sum may differ between processors."""
    task = make_diffusion()
    losses = [task.loss(step, batch=7, seed=0, device=CPU).item() for step in (1, 2, 3)]
    assert losses == pytest.approx([0.7930521368980408, 0.9065762162208557, 1.173470139503479], rel=1e-6)


def test_withholding_changes_neither_noise_nor_levels(make_spec: Callable[..., ModelSpec]) -> None:
    """An untrained network predicts 0 whatever it is told, so its loss shows noise and levels alone."""
    losses = {
        make_task(make_spec, dropout=dropout, told=told).loss(5, batch=8, seed=0, device=CPU).item()
        for dropout, told in ((0.0, True), (0.9, True), (0.0, False))
    }
    assert len(losses) == 1


def test_the_network_hears_its_own_row_standardized(make_spec: Callable[..., ModelSpec]) -> None:
    told = heard(make_task(make_spec, dropout=0.0))[:, len(CUES) :]
    assert told[:, 2].tolist() == [1.0] * COUNT
    torch.testing.assert_close(told[:, 0].mean(), torch.tensor(0.0), rtol=0, atol=1e-5)
    torch.testing.assert_close(told[:, 0].std(correction=0), torch.tensor(1.0))


def test_each_latent_is_told_of_its_own_row(make_spec: Callable[..., ModelSpec]) -> None:
    """The position, which rises with the row, says which row a latent is."""
    task = make_task(make_spec, dropout=0.0)
    assert task.conditioner is not None
    cues = heard(task, batch=9)
    rows = torch.searchsorted(task.positions, cues[:, 0].contiguous())
    torch.testing.assert_close(cues[:, 2:], task.conditioner.encode(task.conditioner.rows.values[rows]))


def test_conditions_are_withheld_whole_from_the_given_share(make_spec: Callable[..., ModelSpec]) -> None:
    task = make_task(make_spec, dropout=0.3)
    told = torch.cat([heard(task, step)[:, len(CUES) :] for step in range(1, 21)])
    silent = told[:, 1] == 0
    assert abs(float(silent.float().mean()) - 0.3) < 4 * (0.3 * 0.7 / 800) ** 0.5  # four standard errors
    assert bool((told[silent] == 0).all())
    positions = heard(task)[:, 0]
    assert len(positions.unique()) == COUNT  # the position is never withheld


def test_a_latent_of_two_patients_has_no_conditions(make_spec: Callable[..., ModelSpec]) -> None:
    cues = heard(make_task(make_spec, mixed=0.5, dropout=0.0))
    is_mixed = cues[:, 1] == 1
    assert 0 < int(is_mixed.sum()) < COUNT
    assert torch.equal(cues[:, 3] == 0, is_mixed)


@pytest.mark.parametrize("changes", [{"dropout": 0.2}, {"told": False}])
def test_the_digest_names_conditions_and_dropout(
    make_spec: Callable[..., ModelSpec], changes: dict[str, object]
) -> None:
    assert make_task(make_spec).digest == make_task(make_spec).digest
    assert make_task(make_spec, **changes).digest != make_task(make_spec).digest  # type: ignore[arg-type]


def test_without_conditions_the_dropout_names_nothing(make_spec: Callable[..., ModelSpec]) -> None:
    assert make_task(make_spec, told=False, dropout=0.5).digest == make_task(make_spec, told=False).digest
