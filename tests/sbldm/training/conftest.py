"""Tiny tasks for both stages, with everything on that a resume must get right."""

from collections.abc import Callable

import pytest
import torch

from sbldm.data.slices import SliceSet
from sbldm.diffusion import LOSSES, CutMixSpec
from sbldm.model import ModelSpec
from sbldm.training import AutoencoderTask, DiffusionTask, Task, TrainingSpec


def gaussian_latents(count: int = 40) -> torch.Tensor:
    """Return latents whose channels have different spreads and a common part."""
    draws = torch.Generator().manual_seed(3)
    common = torch.randn(count, 1, 1, 1, generator=draws)
    spread = torch.tensor([1.2, 0.9, 0.8]).reshape(1, 3, 1, 1)
    return spread * (0.95 * common + 0.3 * torch.randn(count, 3, 4, 4, generator=draws))


@pytest.fixture
def make_diffusion(make_spec: Callable[..., ModelSpec]) -> Callable[..., DiffusionTask]:
    def make(*, latents: torch.Tensor | None = None, mixed: float = 0.5, **changes: object) -> DiffusionTask:
        clean = gaussian_latents() if latents is None else latents
        return DiffusionTask(
            make_spec(**changes),
            clean,
            torch.linspace(-1, 1, len(clean)),
            loss=LOSSES.parse({"kind": "radial", "weight": 0.3}),
            cutmix=CutMixSpec(probability=mixed, position_bins=2),
            seed=0,
        )

    return make


@pytest.fixture
def make_autoencoder(disks: SliceSet, make_spec: Callable[..., ModelSpec]) -> Callable[..., AutoencoderTask]:
    return lambda **changes: AutoencoderTask(make_spec(**changes), disks, seed=0)


@pytest.fixture(params=["autoencoder", "diffusion"])
def make_task(
    request: pytest.FixtureRequest,
    make_diffusion: Callable[..., DiffusionTask],
    make_autoencoder: Callable[..., AutoencoderTask],
) -> Callable[[], Task]:
    return make_autoencoder if request.param == "autoencoder" else make_diffusion


@pytest.fixture
def short() -> TrainingSpec:
    return TrainingSpec(
        steps=13,
        batch=7,
        learning_rate=3e-3,
        schedule="cosine",
        warmup_steps=3,
        weight_decay=0.01,
        gradient_clip=0.5,
        ema_decay=0.9,
        commit_every=4,
    )
