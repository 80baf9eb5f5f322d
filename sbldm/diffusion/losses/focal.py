"""Weights that follow the error itself: frequencies the network gets wrong count most."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from sbldm.diffusion.losses.base import LOSSES
from sbldm.diffusion.losses.frequency import FrequencyLossSpec


@LOSSES.register
class Focal(FrequencyLossSpec):
    """Describe weights proportional to the error's magnitude to the power ``a`` (Jiang et al. 2021)."""

    kind: Literal["focal"] = "focal"
    a: float = Field(1.0, ge=0)

    def emphasis(self, power: Float[Tensor, "b c h w"]) -> Float[Tensor, "#b #c h w"]:
        """Return weights per sample and channel, detached: they steer the gradient but send none."""
        tiny = torch.finfo(power.dtype).tiny
        magnitude = power.detach().sqrt()
        raised = (magnitude / magnitude.amax((-2, -1), keepdim=True).clamp_min(tiny)) ** self.a
        return raised / raised.mean((-2, -1), keepdim=True).clamp_min(tiny)
