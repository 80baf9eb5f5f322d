"""Weights that depend on how fine a pattern is, whatever its direction."""

from typing import Literal

import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor

from sbldm.diffusion.losses.base import LOSSES
from sbldm.diffusion.losses.frequency import FrequencyLossSpec


@LOSSES.register
class Radial(FrequencyLossSpec):
    """Describe weights proportional to ``(r0 + r)^power``; r is 1 at the finest pattern along an axis."""

    kind: Literal["radial"] = "radial"
    power: float = 1.0
    r0: float = Field(0.1, gt=0)

    def emphasis(self, power: Float[Tensor, "b c h w"]) -> Float[Tensor, "#b #c h w"]:
        """Return the same weights for every sample and channel."""
        raised = (self.r0 + radius(*power.shape[-2:])) ** self.power
        return (raised / raised.mean()).to(device=power.device, dtype=power.dtype)[None, None]


def radius(height: int, width: int) -> Float64[Tensor, "h w"]:
    """Return each frequency's distance from the mean, in units of the Nyquist frequency, in FFT order."""
    rows = torch.fft.fftfreq(height, d=0.5, dtype=torch.float64)
    columns = torch.fft.fftfreq(width, d=0.5, dtype=torch.float64)
    return torch.hypot(rows[:, None], columns[None, :])
