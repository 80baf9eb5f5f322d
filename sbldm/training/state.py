"""All that changes while training, as named tensors and back; what it holds decides whether a resume is exact."""

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sbldm.errors import RunError
from sbldm.nn.weights import load_into, prefixed, under
from sbldm.training.checkpoint import Checkpoint
from sbldm.training.spec import TrainingSpec
from sbldm.training.task import Task

HARMLESS_SETTINGS = {"commit_every", "commit_seconds", "validations"}

logger = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """Weights, their average, optimizer and loss scaler after some step."""

    task: Task
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    is_exact: bool = True
    """Whether every resume so far ran on the kind of machine the checkpoint came from."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return the weights that are trained."""
        return list(self.task.module.parameters())

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor a checkpoint holds, by name."""
        moments = {
            f"{index}.{key}": value
            for index, entry in self.optimizer.state_dict()["state"].items()
            for key, value in entry.items()
        }
        return (
            prefixed("module", self.task.module.state_dict())
            | prefixed("averaged", self.task.averaged.state_dict())
            | prefixed("optimizer", moments)
        )

    def restore(self, checkpoint: Checkpoint, here: dict[str, str | int]) -> None:
        """Go back to where the checkpoint was written; ``here`` is the fingerprint of this machine."""
        name = f"checkpoint of step {checkpoint.step}"
        load_into(self.task.module, under("module", checkpoint.tensors), name)
        load_into(self.task.averaged, under("averaged", checkpoint.tensors), name)
        self._restore_optimizer(under("optimizer", checkpoint.tensors), name)
        self.scaler.load_state_dict(checkpoint.meta["scaler"])
        self.step = checkpoint.step
        if checkpoint.meta["fingerprint"] != here:
            logger.warning("resuming on another machine, not exact to the bit: %s", here)
        self.is_exact = bool(checkpoint.meta["is_exact"]) and checkpoint.meta["fingerprint"] == here

    def _restore_optimizer(self, tensors: dict[str, Tensor], name: str) -> None:
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            index, _, moment = key.partition(".")
            moments.setdefault(int(index), {})[moment] = value
        if moments.keys() != set(range(len(self.parameters))):
            raise RunError(f"{name}: the optimizer's state does not fit the weights")
        self.optimizer.load_state_dict({"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]})

    def meta(self, identity: dict[str, Any], here: dict[str, str | int]) -> dict[str, Any]:
        """Return what a checkpoint says about itself."""
        return {
            "identity": identity,
            "fingerprint": here,
            "scaler": self.scaler.state_dict(),
            "is_exact": self.is_exact,
        }


def identify(task: Task, spec: TrainingSpec, seed: int) -> dict[str, Any]:
    """Return all that decides the course of training; a checkpoint is resumed only under the same."""
    settings = spec.model_dump(mode="json", exclude=HARMLESS_SETTINGS)
    return {"stage": task.stage, "seed": seed, "task": task.digest} | settings


def check_identity(checkpoint: Checkpoint, identity: dict[str, Any]) -> None:
    """Refuse to resume under other settings, and list those that differ."""
    found = checkpoint.meta.get("identity")
    found = found if isinstance(found, dict) else {}
    differing = [
        f"{key} is {identity.get(key)!r} but was {found.get(key)!r}"
        for key in sorted(identity.keys() | found.keys())
        if identity.get(key) != found.get(key)
    ]
    if differing:
        raise RunError(f"cannot resume from step {checkpoint.step} under other settings: {'; '.join(differing)}")
