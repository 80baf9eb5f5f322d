"""What the loop trains: weights, their average, and the loss of one step."""

import copy
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from sbldm.seeding import generator


class Task(ABC):
    """One training stage; ``averaged`` is what it leaves behind."""

    stage: str

    def __init__(self, module: nn.Module, digest: str) -> None:
        self.module = module
        self.averaged = copy.deepcopy(module).eval().requires_grad_(False)
        self.digest = digest
        """Names the data and all settings that decide the loss: a checkpoint of another digest is refused."""

    @abstractmethod
    def loss(self, step: int, *, batch: int, seed: int, device: torch.device) -> Float[Tensor, ""]:
        """Return the loss of this step; all randomness comes from the seed and the step."""


def batch_indices(count: int, batch: int, step: int, *, seed: int, stage: str) -> Int64[Tensor, " b"]:
    """Return the rows of step 1, 2, ..: epochs are shuffled anew and joined, so that a batch may span two."""
    start = (step - 1) * batch
    epochs = range(start // count, (start + batch - 1) // count + 1)
    order = torch.cat([torch.randperm(count, generator=generator(seed, stage, "epoch", epoch)) for epoch in epochs])
    return order[start - epochs[0] * count :][:batch]
