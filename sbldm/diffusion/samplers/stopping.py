"""When a sample is done before its walk is: its clean estimate is foretold to be good, or changes no more."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from sbldm.diffusion.process import Estimate

Criterion = Literal["error", "change"]


@dataclass(frozen=True)
class Stopping:
    """Hold the rule: below ``threshold`` for ``patience`` steps in a row, once SNR is ``snr_min`` or more."""

    threshold: float
    patience: int
    snr_min: float
    criterion: Criterion = "error"
    """error: the predicted relative error of the clean estimate; change: its relative change since the step before."""

    def __post_init__(self) -> None:
        """Refuse a rule that would stop on noise or never make sense."""
        if not (self.threshold >= 0 and self.patience >= 1 and self.snr_min > 0):
            raise ValueError(f"threshold must be >= 0, patience >= 1 and snr_min > 0, but got {self}")

    def choose(self, error: Float64[Tensor, "*b"], change: Float64[Tensor, "*b"]) -> Float64[Tensor, "*b"]:
        """Return which of the two is watched."""
        return error if self.criterion == "error" else change

    def extend(self, streak: Int64[Tensor, " b"], watched: Float64[Tensor, " b"], snr: float) -> Int64[Tensor, " b"]:
        """Return for how many steps in a row each sample has now met the rule."""
        met = (watched < self.threshold) & (snr >= self.snr_min)
        return torch.where(met, streak + 1, 0)

    def is_met(self, streak: Int64[Tensor, " b"]) -> Bool[Tensor, " b"]:
        """Say which samples may stop."""
        return streak >= self.patience


def relative_error(estimate: Estimate, alpha_bar: float) -> Float64[Tensor, " b"]:
    """Return the predicted RMS error of each clean estimate over its own RMS; infinite at pure noise.

    A posterior mean loses exactly the noise it cannot see: ``E|eps - eps_hat|^2 = d - E|eps_hat|^2``. An estimate with
    an error of its own, independent of the noise, has ``E|eps - eps_hat|^2 = E|eps_hat|^2 - d``. So the distance of
    ``|eps_hat|^2`` from d is the error on either side; clamped above d, it would call a bad network's sample finished.
    Where both errors are alike they cancel, so this is a lower bound; chance alone moves ``|eps_hat|^2`` by sqrt(2 d).
    """
    clean, noise = (mean_square(part) for part in (estimate.clean, estimate.noise))
    if alpha_bar == 0:
        return torch.full_like(clean, torch.inf)
    wrong = (1 - alpha_bar) / alpha_bar * (1 - noise).abs()
    return (wrong / clean.clamp_min(torch.finfo(torch.float64).tiny)).sqrt()


def relative_change(now: Float[Tensor, "b ..."], before: Float[Tensor, "b ..."] | None) -> Float64[Tensor, " b"]:
    """Return the RMS change of each clean estimate over its own RMS; infinite where there is none before."""
    size = mean_square(now)
    if before is None:
        return torch.full_like(size, torch.inf)
    return (mean_square(now.double() - before.double()) / size.clamp_min(torch.finfo(torch.float64).tiny)).sqrt()


def mean_square(batch: Float[Tensor, "b ..."]) -> Float64[Tensor, " b"]:
    """Return the mean square of each sample, summed in float64."""
    return batch.double().square().flatten(1).mean(1)
