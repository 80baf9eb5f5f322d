"""The family of laws by which training draws noise levels: how often a level is seen is how much it matters."""

from abc import abstractmethod
from typing import Annotated

import torch
from jaxtyping import Float64, Int64
from pydantic import BeforeValidator, SerializeAsAny
from torch import Tensor

from sbldm.diffusion.schedules.schedule import Schedule
from sbldm.spec import Registry, Spec


class TrainingLevelsSpec(Spec):
    """Describe a law over the levels 1..T.

    A training that draws level t with probability p(t) minimizes the sum of p(t) times the loss at t: it weighs
    levels as a loss weight of T p(t) would under uniform draws, but spends its steps where the weight is.
    """

    kind: str

    @abstractmethod
    def probabilities(self, schedule: Schedule) -> Float64[Tensor, " steps"]:
        """Return how likely each level is; entry ``t - 1`` belongs to level t, and all sum to 1."""

    def draw(self, count: int, schedule: Schedule, generator: torch.Generator) -> Int64[Tensor, " n"]:
        """Return independent levels in 1..T; the generator on the CPU alone decides which."""
        cumulative = self.probabilities(schedule).cumsum(0)
        chance = torch.rand(count, generator=generator, dtype=torch.float64) * cumulative[-1]
        return 1 + torch.searchsorted(cumulative, chance, right=True).clamp(max=schedule.timesteps - 1)


TRAINING_LEVELS = Registry("training levels", TrainingLevelsSpec)  # type: ignore[type-abstract]  # only its rivals are built
AnyTrainingLevels = Annotated[SerializeAsAny[TrainingLevelsSpec], BeforeValidator(TRAINING_LEVELS.parse)]
