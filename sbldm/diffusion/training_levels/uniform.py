"""Every level alike, however much noise it holds (Ho et al. 2020)."""

from typing import Literal

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from sbldm.diffusion.schedules.schedule import Schedule
from sbldm.diffusion.training_levels.base import TRAINING_LEVELS, TrainingLevelsSpec


@TRAINING_LEVELS.register
class Uniform(TrainingLevelsSpec):
    """Describe equal chances; how they lie over log-SNR is the schedule's doing."""

    kind: Literal["uniform"] = "uniform"

    def probabilities(self, schedule: Schedule) -> Float64[Tensor, " steps"]:
        """Return 1 / T for every level."""
        return torch.full((schedule.timesteps,), 1 / schedule.timesteps, dtype=torch.float64)

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> Int64[Tensor, " n"]:
        """Return whole numbers in 1..T."""
        return torch.randint(1, schedule.timesteps + 1, (count,), generator=generator)
