"""Implicit sampling: few, deterministic steps; eta adds noise, up to ancestral sampling at 1 (Song et al. 2021)."""

import math
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from sbldm.diffusion.samplers.base import SAMPLERS, Move, SamplerSpec
from sbldm.diffusion.samplers.levels import Spacing, spaced_levels
from sbldm.diffusion.schedules.schedule import Schedule


@SAMPLERS.register
class Ddim(SamplerSpec):
    """Describe implicit sampling; with eta 0 no noise is drawn at all."""

    kind: Literal["ddim"] = "ddim"
    steps: int = Field(50, ge=1)
    eta: float = Field(0.0, ge=0, le=1)
    spacing: Spacing = "trailing"

    def levels(self, schedule: Schedule) -> tuple[int, ...]:
        """Return the levels of this spacing."""
        return spaced_levels(schedule, self.steps, spacing=self.spacing)

    def step(self, move: Move) -> Float[Tensor, "b ..."]:
        """Return the sample at level s along the estimated noise, part of it drawn anew when eta is above 0."""
        now, then = float(move.schedule.alpha_bar[move.t]), float(move.schedule.alpha_bar[move.s])
        fresh = self.eta**2 * (1 - then) / (1 - now) * (1 - now / then)  # Song et al. 2021, eq. 16
        kept = max(0.0, 1 - then - fresh)
        moved = math.sqrt(then) * move.estimate.clean + math.sqrt(kept) * move.estimate.noise
        return moved if self.eta == 0 else moved + math.sqrt(fresh) * move.draw()
