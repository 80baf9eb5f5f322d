"""DPM-Solver++(2M): deterministic like implicit sampling, but it looks one step back (Lu et al. 2022)."""

import math
from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from sbldm.diffusion.samplers.base import SAMPLERS, Move, SamplerSpec
from sbldm.diffusion.samplers.levels import Spacing, spaced_levels
from sbldm.diffusion.schedules.schedule import Schedule


@SAMPLERS.register
class DpmSolver(SamplerSpec):
    """Describe the second-order multistep solver in the clean estimate."""

    order: ClassVar[int] = 2
    kind: Literal["dpm-solver"] = "dpm-solver"
    steps: int = Field(20, ge=1)
    spacing: Spacing = "log-snr"

    def levels(self, schedule: Schedule) -> tuple[int, ...]:
        """Return the levels of this spacing."""
        return spaced_levels(schedule, self.steps, spacing=self.spacing)

    def step(self, move: Move) -> Float[Tensor, "b ..."]:
        """Return the sample at level s, the clean estimate extrapolated to the middle of the step."""
        now, then = float(move.schedule.alpha_bar[move.t]), float(move.schedule.alpha_bar[move.s])
        # exp(-h) with h the step in half log-SNR: 0 when coming from pure noise
        shrink = math.sqrt(now / (1 - now) * (1 - then) / then)
        clean = move.estimate.clean + self._correction(move)
        return math.sqrt((1 - then) / (1 - now)) * move.noisy + math.sqrt(then) * (1 - shrink) * clean

    def _correction(self, move: Move) -> Float[Tensor, "b ..."] | float:
        earlier = move.earlier
        if earlier is None or float(move.schedule.alpha_bar[earlier.t]) == 0:
            return 0.0
        log_snr = move.schedule.log_snr
        ratio = float((log_snr[move.s] - log_snr[move.t]) / (log_snr[move.t] - log_snr[earlier.t]))
        return 0.5 * ratio * (move.estimate.clean - earlier.estimate.clean)  # Lu et al. 2022, algorithm 2
