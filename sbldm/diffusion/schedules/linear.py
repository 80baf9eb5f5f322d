"""Betas that rise in a straight line (Ho et al. 2020)."""

from typing import Literal

import torch
from jaxtyping import Float64
from pydantic import Field, model_validator
from torch import Tensor

from sbldm.diffusion.schedules.base import SCHEDULES, ScheduleSpec, accumulate


class BetaRange(ScheduleSpec):
    """Describe a schedule given by its first and its last beta."""

    beta_start: float = Field(1e-4, gt=0, lt=1)
    beta_end: float = Field(0.02, gt=0, lt=1)

    @model_validator(mode="after")
    def _betas_rise(self) -> "BetaRange":
        if self.beta_start > self.beta_end:
            raise ValueError(f"beta_start must not exceed beta_end, but got {self.beta_start=} and {self.beta_end=}")
        return self


@SCHEDULES.register
class Linear(BetaRange):
    """Describe the linear schedule."""

    kind: Literal["linear"] = "linear"

    def free(self) -> Float64[Tensor, " levels"]:
        """Return ``alpha_bar`` of evenly rising betas."""
        return linear_alpha_bar(self.timesteps, self.beta_start, self.beta_end)

    def matched(self) -> Float64[Tensor, " levels"]:
        """Return the free array: the linear schedule is what the others match."""
        return self.free()


def linear_alpha_bar(timesteps: int, beta_start: float, beta_end: float) -> Float64[Tensor, " levels"]:
    """Return ``alpha_bar`` of betas that rise evenly from the first to the last."""
    return accumulate(beta_start + (beta_end - beta_start) * rise(timesteps))


def rise(timesteps: int) -> Float64[Tensor, " steps"]:
    """Return ``u_i = (i - 1) / (T - 1)`` for steps 1 to T."""
    return torch.arange(timesteps, dtype=torch.float64) / (timesteps - 1)
