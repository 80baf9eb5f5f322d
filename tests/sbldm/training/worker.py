"""One of the processes of a training, as ``torchrun`` starts it; what it saw goes to a JSON file of its own."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from sbldm.data.slices import SliceSet
from sbldm.diffusion import LOSSES, CutMixSpec
from sbldm.errors import ConfigError, ResourceError
from sbldm.model import ModelSpec
from sbldm.training import (
    AutoencoderTask,
    CheckpointStore,
    DiffusionTask,
    StepRecord,
    Task,
    TrainingSpec,
    joined,
    train,
)

CPU = torch.device("cpu")


def build(stage: str) -> Task:
    draws = torch.Generator().manual_seed(0)
    spec = ModelSpec.model_validate(
        {
            "size": 16,
            "autoencoder": {"kind": "patch", "hidden_dims": (8, 8), "latent_channels": 3},
            "network": {"kind": "plain", "model_channels": 8, "blocks": 1},
            "schedule": {"kind": "cosine", "timesteps": 50},
        }
    )
    positions = torch.linspace(-1, 1, 20)
    if stage == "diffusion":
        latents, loss = torch.randn(20, 3, 4, 4, generator=draws), LOSSES.parse({"kind": "radial", "weight": 0.3})
        mixing = CutMixSpec(probability=0.5, position_bins=2)
        return DiffusionTask(spec, latents, positions, loss=loss, cutmix=mixing, seed=0)
    images = torch.rand(20, 1, 16, 16, generator=draws) * 2 - 1
    labels = torch.zeros(20, 16, 16, dtype=torch.uint8)
    return AutoencoderTask(spec, SliceSet(images, labels, torch.arange(20) // 4, positions, ()), seed=0)


def curve(stage: str, folder: Path | None = None, stop: int = 0, **changes: object) -> list[float]:
    """Return the losses this process was told of."""
    spec = TrainingSpec.model_validate({"steps": 6, "batch": 8, "learning_rate": 1e-3, **changes})
    losses = []
    for record in train(build(stage), spec, seed=0, store=CheckpointStore(folder) if folder else None, device=CPU):
        losses.append(record.loss)
        if record.step == stop:
            break
    return losses


def refusal() -> str:
    try:
        return str(curve("diffusion", batch=9))
    except ConfigError as error:
        return str(error)


def main(folder: Path, dying: str) -> None:
    torch.set_num_threads(1)
    with joined(CPU) as world:
        if dying:
            for _ in endless(world.rank):
                pass
        seen = {
            "diffusion": curve("diffusion"),
            "autoencoder": curve("autoencoder"),
            "parts": curve("diffusion", accumulate=2),
            "stopped": curve("diffusion", folder / "runs", stop=3),
            "resumed": curve("diffusion", folder / "runs"),
            "refused": refusal(),
        }
    (folder / f"{world.rank}.json").write_text(json.dumps(seen))


def endless(rank: int) -> Iterator[StepRecord]:
    """Train without end, but let the second process vanish in step 4, as when the kernel takes its memory."""
    task = build("diffusion")
    genuine = task.loss

    def mortal(step: int, *, batch: int, seed: int, device: torch.device) -> torch.Tensor:
        if rank == 1 and step == 4:
            os._exit(9)
        return genuine(step, batch=batch, seed=seed, device=device)

    task.loss = mortal  # type: ignore[method-assign]
    return train(task, TrainingSpec(steps=10**6, batch=8), seed=0, device=CPU)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except ResourceError as error:
        sys.stderr.write(f"sbldm: error: {error}\n")
        sys.exit(5)
