"""Betas that rise as a power: larger gamma keeps structure longer, at every level."""

from typing import Literal

from jaxtyping import Float64
from pydantic import Field
from scipy.optimize import brentq
from torch import Tensor

from sbldm.diffusion.schedules.base import SCHEDULES, accumulate
from sbldm.diffusion.schedules.linear import BetaRange, rise

LARGEST_BETA = 1 - 1e-12


@SCHEDULES.register
class Gamma(BetaRange):
    """Describe ``beta_i = beta_start + (beta_end - beta_start) u_i^gamma``; gamma 1 is the linear schedule."""

    kind: Literal["gamma"] = "gamma"
    gamma: float = Field(1.0, gt=0)

    def free(self) -> Float64[Tensor, " levels"]:
        """Return ``alpha_bar`` with the last beta as set."""
        return accumulate(self._betas(self.gamma, self.beta_end))

    def matched(self) -> Float64[Tensor, " levels"]:
        """Return ``alpha_bar`` with the last beta solved, so that gamma changes the shape alone."""
        return accumulate(self._betas(self.gamma, self.matched_beta_end()))

    def matched_beta_end(self) -> float:
        """Return the last beta that leaves as much signal at T as gamma 1 with these settings does."""
        wanted = _log_signal(self._betas(1.0, self.beta_end))

        def surplus(beta_end: float) -> float:
            return _log_signal(self._betas(self.gamma, beta_end)) - wanted

        if surplus(self.beta_end) == 0:  # gamma 1, or a flat schedule: nothing to solve
            return self.beta_end
        if surplus(LARGEST_BETA) > 0:
            raise ValueError(f"no last beta below 1 can match the linear schedule's end at {self.gamma=}; lower gamma")
        return float(brentq(surplus, self.beta_start, LARGEST_BETA, xtol=1e-16))

    def _betas(self, gamma: float, beta_end: float) -> Float64[Tensor, " steps"]:
        return self.beta_start + (beta_end - self.beta_start) * rise(self.timesteps) ** gamma


def _log_signal(betas: Float64[Tensor, " steps"]) -> float:
    return float((-betas).log1p().sum())
