"""When a sample is done before its walk is: the predicted error of the clean estimate is small and stays so."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from sbldm.diffusion.process import Estimate


@dataclass(frozen=True)
class Stopping:
    """Hold the rule: error below ``threshold`` for ``patience`` steps in a row, once SNR is ``snr_min`` or more."""

    threshold: float
    patience: int
    snr_min: float

    def __post_init__(self) -> None:
        """Refuse a rule that would stop on noise or never make sense."""
        if not (self.threshold >= 0 and self.patience >= 1 and self.snr_min > 0):
            raise ValueError(f"threshold must be >= 0, patience >= 1 and snr_min > 0, but got {self}")

    def extend(self, streak: Int64[Tensor, " b"], error: Float64[Tensor, " b"], snr: float) -> Int64[Tensor, " b"]:
        """Return for how many steps in a row each sample has now met the rule."""
        met = (error < self.threshold) & (snr >= self.snr_min)
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


def mean_square(batch: Float[Tensor, "b ..."]) -> Float64[Tensor, " b"]:
    """Return the mean square of each sample, summed in float64."""
    return batch.double().square().flatten(1).mean(1)
