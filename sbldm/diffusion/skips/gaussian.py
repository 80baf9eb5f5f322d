"""What a denoiser can know from mean and covariance alone; the network predicts what is left over.

Latents of slices at position p are taken for Gaussian: the mean a polynomial in p, one covariance for all.
Of such data the best estimate is linear (Wiener's), and exact in a few matrix products.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Float64, Int64
from pydantic import Field
from torch import Tensor, nn

from sbldm.diffusion.process import NoisePredictor, Prediction, scales, target
from sbldm.diffusion.schedules.schedule import Schedule
from sbldm.diffusion.skips.base import SKIPS, BuildNetwork, SkipSpec

ROWS_PER_AXIS = 2
"""Training slices it takes at least to know the variance along one axis."""
SMALLEST_VARIANCE = 1e-6


@SKIPS.register
class GaussianSkip(SkipSpec):
    """Describe how finely mean and covariance are told."""

    has_closed_form: ClassVar[bool] = True
    kind: Literal["gaussian"] = "gaussian"
    degree: int = Field(4, ge=0, le=8)
    """Of the polynomial in slice position that the mean follows."""
    rank: int = Field(2048, ge=1)
    """Axes of the covariance that are told apart at most, the strongest first; the rest share one variance."""

    def channels(self, latent_channels: int) -> int:
        """Return twice those of the latent: the network sees the noisy latent and an estimate of the clean one."""
        return 2 * latent_channels

    def wrap(
        self, build: BuildNetwork, latent_shape: tuple[int, int, int], schedule: Schedule, prediction: Prediction
    ) -> nn.Module:
        """Return a network of twice the channels beside a closed form that takes latents for standard normal yet."""
        return Skipped(
            build(self.channels(latent_shape[0])), self, latent_shape, schedule=schedule, prediction=prediction
        )

    def fit(self, module: nn.Module, latents: Float[Tensor, "n z h w"], positions: Float[Tensor, " n"]) -> None:
        """Set mean and covariance to those of these latents."""
        assert isinstance(module, Skipped), "only what wrap returned is fitted"
        module.describe(measure_gaussian(latents.flatten(1), positions, degree=self.degree, rank=self.rank))

    def closed_form(self, module: nn.Module) -> NoisePredictor:
        """Return the best denoiser of Gaussian latents."""
        assert isinstance(module, Skipped), "only what wrap returned has one"
        return module.closed_form


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal law given the position: of covariance ``axes diag(variances - rest) axes' + rest``.

    Attributes:
        mean: coefficients of the polynomial in the position, constant first.
        axes: orthonormal columns.
        variances: along the axes.
        rest: variance along every direction orthogonal to the axes.
    """

    mean: Float64[Tensor, "coefficients d"]
    axes: Float64[Tensor, "d r"]
    variances: Float64[Tensor, " r"]
    rest: Float64[Tensor, ""]


def measure_gaussian(rows: Float[Tensor, "n d"], positions: Float[Tensor, " n"], *, degree: int, rank: int) -> Gaussian:
    """Return the likeliest law of this form (Tipping & Bishop 1999) for the rows.

    Fewer axes are told apart where rows are few, and a lower degree where positions are.
    """
    x, count, width = rows.double(), len(rows), rows.shape[1]
    powers = _powers(positions.double(), min(degree, len(set(positions.tolist())) - 1))
    mean = x.new_zeros(degree + 1, width)
    mean[: powers.shape[1]] = torch.linalg.lstsq(powers, x).solution
    left = x - powers @ mean[: powers.shape[1]]
    told = max(1, min(rank, width, count // ROWS_PER_AXIS))
    variances, axes = torch.linalg.eigh(left.T @ left / count)
    variances, axes = variances.flip(0).clamp(min=SMALLEST_VARIANCE), axes.flip(1)
    rest = variances[told:].mean() if told < width else variances[-1]
    return Gaussian(mean, axes[:, :told], variances[:told], rest)


class Skipped(nn.Module):
    """Predict by the closed form, and add the network's answer in units of the error the closed form leaves.

    The network sees the noisy latent and the closed form's estimate of the clean one. At zero network output the
    prediction is the best there is for Gaussian latents.
    """

    mean: Tensor
    axes: Tensor
    variances: Tensor
    rest: Tensor

    def __init__(
        self,
        network: nn.Module,
        spec: GaussianSkip,
        latent_shape: tuple[int, int, int],
        *,
        schedule: Schedule,
        prediction: Prediction,
    ) -> None:
        super().__init__()
        self.network, self.schedule, self.prediction = network, schedule, prediction
        width = math.prod(latent_shape)
        rank = min(spec.rank, width)
        self.register_buffer("mean", torch.zeros(spec.degree + 1, width))
        self.register_buffer("axes", torch.eye(width, rank))
        self.register_buffer("variances", torch.ones(rank))
        self.register_buffer("rest", torch.ones(()))

    @torch.no_grad()
    def describe(self, law: Gaussian) -> None:
        """Take this law for that of the latents; axes it does not tell apart have the variance of the rest."""
        told = len(law.variances)
        self.mean.copy_(law.mean)
        self.axes.zero_()[:, :told] = law.axes
        self.variances.fill_(float(law.rest))[:told] = law.variances
        self.rest.copy_(law.rest)

    def forward(
        self, noisy: Float[Tensor, "b c h w"], t: Int64[Tensor, " b"], cues: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b c h w"]:
        """Return the prediction for levels ``t`` in 1..T; the first cue is the position."""
        with torch.autocast(noisy.device.type, enabled=False):
            clean, error = self.estimate(noisy, t, cues[:, 0])
        answer: Tensor = self.network(torch.cat([noisy, clean], dim=1), t, cues)
        return self._predict(clean + error * answer[:, : noisy.shape[1]].to(noisy.dtype), noisy, t)

    def closed_form(
        self, noisy: Float[Tensor, "b c h w"], t: Int64[Tensor, " b"], cues: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b c h w"]:
        """Return what would be predicted if the network were silent."""
        return self._predict(self.estimate(noisy, t, cues[:, 0])[0], noisy, t)

    def _predict(
        self, clean: Float[Tensor, "b c h w"], noisy: Float[Tensor, "b c h w"], t: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        if self.prediction == "x0":
            return clean
        signal, spread = scales(t, noisy, self.schedule)
        return target(clean, (noisy - signal * clean) / spread, t, schedule=self.schedule, prediction=self.prediction)

    def estimate(
        self, noisy: Float[Tensor, "b c h w"], t: Int64[Tensor, " b"], positions: Float[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 1 1 1"]]:
        """Return the posterior mean of the clean latent, and the root of its posterior variance's mean."""
        alpha_bar = self.schedule.at(t, noisy.flatten(1))
        gain, left = _wiener(self.variances, alpha_bar)
        gain_rest, left_rest = _wiener(self.rest, alpha_bar)
        mean = _powers(positions, len(self.mean) - 1).to(noisy.dtype) @ self.mean
        surprise = noisy.flatten(1) - alpha_bar.sqrt().to(noisy.dtype) * mean
        along = (surprise @ self.axes) * (gain - gain_rest).to(noisy.dtype)
        clean = mean + gain_rest.to(noisy.dtype) * surprise + along @ self.axes.T
        variance = left_rest + (left - left_rest).sum(1, keepdim=True) / noisy[0].numel()
        return clean.view_as(noisy), variance.sqrt().to(noisy.dtype)[:, :, None, None]


def _wiener(
    variances: Float[Tensor, "..."], alpha_bar: Float64[Tensor, "b 1"]
) -> tuple[Float64[Tensor, "b r"], Float64[Tensor, "b r"]]:
    """Return what the best linear estimate takes of a surprise, and the variance of its error, for each variance."""
    wide = variances.double().reshape(1, -1)
    total = alpha_bar * wide + 1 - alpha_bar
    return alpha_bar.sqrt() * wide / total, (1 - alpha_bar) * wide / total


def _powers(positions: Float[Tensor, " b"], degree: int) -> Float[Tensor, "b coefficients"]:
    powers: Tensor = positions[:, None] ** torch.arange(degree + 1, device=positions.device)
    return powers
