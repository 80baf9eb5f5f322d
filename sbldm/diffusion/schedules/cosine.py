"""The cosine schedule, whose signal falls almost evenly (Nichol & Dhariwal 2021)."""

import math
from typing import Literal

import torch
from jaxtyping import Float64
from pydantic import Field
from torch import Tensor

from sbldm.diffusion.schedules.base import SCHEDULES, ScheduleSpec, accumulate, rescale_terminal
from sbldm.diffusion.schedules.linear import Linear, linear_alpha_bar

LARGEST_BETA = 0.999


@SCHEDULES.register
class Cosine(ScheduleSpec):
    """Describe the cosine schedule."""

    kind: Literal["cosine"] = "cosine"
    offset: float = Field(0.008, gt=0)
    """Keeps the first betas from vanishing."""

    def free(self) -> Float64[Tensor, " levels"]:
        """Return ``alpha_bar`` of the squared cosine, its betas clipped near the end."""
        u = torch.arange(self.timesteps + 1, dtype=torch.float64) / self.timesteps
        signal = ((u + self.offset) / (1 + self.offset) * math.pi / 2).cos() ** 2  # Nichol & Dhariwal 2021, eq. 17
        return accumulate((1 - signal[1:] / signal[:-1]).clamp(max=LARGEST_BETA))

    def matched(self) -> Float64[Tensor, " levels"]:
        """Return ``alpha_bar`` rescaled to end where the default linear schedule of as many levels ends."""
        betas = Linear.model_fields
        linear = linear_alpha_bar(self.timesteps, betas["beta_start"].default, betas["beta_end"].default)
        return rescale_terminal(self.free(), float(linear[-1]))
