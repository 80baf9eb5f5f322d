"""What a training will take, stated before it starts: weights, operations, memory; and whether the device has it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from sbldm.errors import ResourceError
from sbldm.model import ModelSpec
from sbldm.nn import Autoencoder
from sbldm.training.rehearsal import Rehearsal, rehearse
from sbldm.training.spec import TrainingSpec

GIB = 2**30
MOMENTS = 2  # AdamW keeps two numbers per weight
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class StageCost:
    """What one training stage takes; bytes are of the device it trains on.

    Attributes:
        stage: autoencoder or diffusion.
        section: of the settings, where batch and the like stand.
        parameters: number of weights in each part.
        step_flops: of one training step: three times the forward pass, since the way back computes two products
            (for inputs and for weights) where the way forth computes one.
        weight_bytes: weights, their gradients, two moments and the average: each as large as the first.
        activation_bytes: what a step keeps beside them, at the batch of the settings.
        batch: samples per step.
        steps: in all.
    """

    stage: str
    section: str
    parameters: dict[str, int]
    step_flops: int
    weight_bytes: int
    activation_bytes: int
    batch: int
    steps: int

    @property
    def memory_bytes(self) -> int:
        """Return the most memory the stage needs at once."""
        return self.weight_bytes * (3 + MOMENTS) + self.activation_bytes


def autoencoder_cost(spec: ModelSpec, training: TrainingSpec, device: torch.device) -> StageCost:
    """Return what training the autoencoder takes."""
    shape = (training.batch, spec.image_channels + spec.classes - 1, spec.size, spec.size)

    def loss(module: nn.Module) -> Tensor:
        assert isinstance(module, Autoencoder)
        x = torch.empty(shape)
        posterior = module.encode(x)
        decoded = module.decode(posterior.sample(torch.empty_like(posterior.mean)))
        return (decoded - x).square().mean() + posterior.divergence()

    def build() -> nn.Module:
        return spec.autoencoder.build(spec.image_channels, spec.classes, spec.size)

    found = rehearse(build, loss, training=training, device=device)
    return _cost("autoencoder", "autoencoder_training", found, training)


def network_cost(spec: ModelSpec, training: TrainingSpec, device: torch.device) -> StageCost:
    """Return what training the network takes; the autoencoder is not there, since latents are cached.

    A skip's few matrix products are left out.
    """
    cues, channels = spec.cues, spec.skip.channels(spec.autoencoder.latent_channels)

    def loss(module: nn.Module) -> Tensor:
        noisy = torch.empty(training.batch, channels, spec.latent_size, spec.latent_size)
        t = torch.ones(training.batch, dtype=torch.long)
        predicted = module(noisy, t, torch.empty(training.batch, cues))
        error: Tensor = predicted.float() - noisy
        return error.square().mean()

    def build() -> nn.Module:
        return spec.network.build(channels, cues)

    found = rehearse(build, loss, training=training, device=device)
    return _cost("diffusion", "training", found, training)


def device_bytes(device: torch.device) -> int:
    """Return the memory there is: of the GPU, or of this machine and no more than its container may use."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(installed, int(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no such limit
        return installed


def check_fits(costs: Sequence[StageCost], available: int, device: torch.device) -> None:
    """Refuse a training that cannot fit, and name the setting to change.

    Raises:
        ResourceError: a stage needs more than there is.
    """
    for cost in costs:
        if cost.memory_bytes > available:
            raise ResourceError(
                f"{cost.stage} training needs about {cost.memory_bytes / GIB:.3g} GiB at {cost.section}.batch"
                f" {cost.batch}, but {device.type} has {available / GIB:.3g} GiB; {_advice(cost, available)}"
            )


def _advice(cost: StageCost, available: int) -> str:
    room = available - cost.weight_bytes * (3 + MOMENTS)
    fitting = room * cost.batch // max(cost.activation_bytes, 1)
    if fitting >= 1:
        return f"lower {cost.section}.batch to {fitting} or raise {cost.section}.accumulate"
    widths = "network.model_channels" if cost.stage == "diffusion" else "autoencoder.hidden_dims"
    smaller = f"set {cost.section}.checkpoint_activations or lower prepare.size or {widths}"
    return smaller if room > 0 else f"lower {widths}"


def _cost(stage: str, section: str, found: Rehearsal, training: TrainingSpec) -> StageCost:
    return StageCost(
        stage=stage,
        section=section,
        parameters=found.parameters,
        step_flops=3 * found.forward_flops,
        weight_bytes=found.weight_bytes,
        activation_bytes=max(0, found.peak_bytes - found.weight_bytes),
        batch=training.batch,
        steps=training.steps,
    )
