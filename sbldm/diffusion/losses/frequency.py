"""Squared error plus the same error weighted by spatial frequency; a flat weight adds nothing new (Parseval)."""

from abc import abstractmethod
from typing import Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from sbldm.diffusion.losses.base import LossSpec, min_snr_weight, squared_error
from sbldm.diffusion.losses.mse import MeanSquaredError
from sbldm.diffusion.process import Estimate, Prediction
from sbldm.diffusion.schedules.schedule import Schedule

USUAL_SNR_CLIP = 5.0


class FrequencyLossSpec(LossSpec):
    """Describe ``squared error + weight * frequency term``."""

    weight: float = Field(1.0, ge=0)
    """How much the frequency term counts beside the squared error."""
    space: Literal["x0", "eps"] = "x0"
    """x0: error of the clean estimate times min(SNR, snr_clip), 5 if unset; eps: error of the noise, which is white."""

    def reduced(self) -> LossSpec:
        """Return the plain loss where the frequency term counts nothing."""
        return self if self.weight else MeanSquaredError(snr_clip=self.snr_clip)

    @abstractmethod
    def emphasis(self, power: Float[Tensor, "b c h w"]) -> Float[Tensor, "#b #c h w"]:
        """Return weights over the FFT grid, mean 1 and without gradient, for this error power."""

    def per_sample(
        self,
        estimate: Estimate,
        clean: Float[Tensor, "b ..."],
        noise: Float[Tensor, "b ..."],
        t: Int64[Tensor, " b"],
        schedule: Schedule,
        prediction: Prediction,
    ) -> Float[Tensor, " b"]:
        """Return the squared error of each sample plus its weighted frequency term."""
        plain = squared_error(
            estimate, clean, noise, t=t, schedule=schedule, prediction=prediction, snr_clip=self.snr_clip
        )
        return plain + self.weight * self.frequency_term(estimate, clean, noise, t=t, schedule=schedule)

    def frequency_term(
        self,
        estimate: Estimate,
        clean: Float[Tensor, "b c h w"],
        noise: Float[Tensor, "b c h w"],
        t: Int64[Tensor, " b"],
        schedule: Schedule,
    ) -> Float[Tensor, " b"]:
        """Return the weighted mean of each sample's error power over frequencies and channels."""
        if self.space == "eps":
            return self._mean_power(estimate.noise - noise)
        clip = USUAL_SNR_CLIP if self.snr_clip is None else self.snr_clip
        term = self._mean_power(estimate.clean - clean)
        return term * min_snr_weight(t, schedule, prediction="x0", clip=clip).to(term.dtype)

    def _mean_power(self, error: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        power = error_power(error)
        return (self.emphasis(power) * power).flatten(1).mean(1)


def error_power(error: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Return the squared magnitude of each spatial frequency; its mean is the mean squared error."""
    at_least_float32 = error.to(torch.promote_types(error.dtype, torch.float32))
    spectrum: Tensor = torch.fft.fft2(at_least_float32, norm="ortho")
    return spectrum.real.square() + spectrum.imag.square()
