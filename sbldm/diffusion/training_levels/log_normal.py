"""Levels about a middling noise, whatever the schedule: noise over signal is log-normal (Karras et al. 2022)."""

from typing import Literal

import torch
from jaxtyping import Float64
from pydantic import Field
from torch import Tensor

from sbldm.diffusion.schedules.schedule import Schedule
from sbldm.diffusion.training_levels.base import TRAINING_LEVELS, TrainingLevelsSpec
from sbldm.errors import ConfigError

LEAST_REACHED = 0.01
"""Of a law's mass, between the schedule's first and last level."""


@TRAINING_LEVELS.register
class LogNormal(TrainingLevelsSpec):
    """Describe a normal law of log-SNR, cut to what the schedule reaches, with a share of uniform draws.

    The usual noise sigma, in units of the data's standard deviation, is exp(-log-SNR / 2): it is log-normal with
    mean -center / 2 and standard deviation spread / 2 of its logarithm.
    """

    kind: Literal["log-normal"] = "log-normal"
    center: float = Field(2.0, ge=-20, le=20)
    """Mean of log-SNR: above 0 where there is more signal than noise."""
    spread: float = Field(2.0, gt=0)
    """Standard deviation of log-SNR."""
    uniform_share: float = Field(0.1, ge=0, le=1)
    """Share of the draws that are uniform over 1..T, so that no level a sampler passes goes unseen."""

    def probabilities(self, schedule: Schedule) -> Float64[Tensor, " steps"]:
        """Return the mass of the normal law between the midpoints of neighboring levels, mixed with the uniform."""
        log_snr = schedule.log_snr[1:]
        edges = torch.cat([log_snr[:1], (log_snr[1:] + log_snr[:-1]) / 2, log_snr[-1:]])
        mass = -torch.special.ndtr((edges - self.center) / self.spread).diff()
        if float(mass.sum()) < LEAST_REACHED:
            raise ConfigError(
                f"training_levels must lie where the schedule has levels, log-SNR {float(log_snr[-1]):.3g} to"
                f" {float(log_snr[0]):.3g}, but center is {self.center:g} and spread {self.spread:g}; move center"
            )
        mixed: Tensor = (1 - self.uniform_share) * mass / mass.sum() + self.uniform_share / schedule.timesteps
        return mixed
