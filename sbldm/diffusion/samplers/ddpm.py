"""Ancestral sampling: each step draws from the posterior given the clean estimate (Ho et al. 2020)."""

import math
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from sbldm.diffusion.samplers.base import SAMPLERS, Move, SamplerSpec
from sbldm.diffusion.samplers.levels import Spacing, spaced_levels
from sbldm.diffusion.schedules.schedule import Schedule


@SAMPLERS.register
class Ddpm(SamplerSpec):
    """Describe ancestral sampling, over every level unless ``steps`` says fewer."""

    kind: Literal["ddpm"] = "ddpm"
    steps: int | None = Field(None, ge=1)
    spacing: Spacing = "trailing"
    """Which levels are visited when ``steps`` leaves some out."""

    def levels(self, schedule: Schedule) -> tuple[int, ...]:
        """Return all levels, or those of this spacing."""
        steps = schedule.timesteps if self.steps is None else self.steps
        return spaced_levels(schedule, steps, spacing=self.spacing)

    def step(self, move: Move) -> Float[Tensor, "b ..."]:
        """Return a draw from the posterior of level s given the noisy sample and the clean estimate."""
        to_clean, to_noisy, variance = posterior(move.schedule, move.t, move.s)
        mean = to_clean * move.estimate.clean + to_noisy * move.noisy
        return mean + math.sqrt(variance) * move.draw()


def posterior(schedule: Schedule, t: int, s: int) -> tuple[float, float, float]:
    """Return the weights of the clean and the noisy sample and the variance of q(x_s | x_t, x_0)."""
    now, then = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[s])
    kept = now / then
    to_clean = math.sqrt(then) * (1 - kept) / (1 - now)  # Ho et al. 2020, eq. 7, between any two levels
    to_noisy = math.sqrt(kept) * (1 - then) / (1 - now)
    return to_clean, to_noisy, (1 - then) / (1 - now) * (1 - kept)
