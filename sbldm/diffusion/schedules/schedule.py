"""How much signal is left at each level: one stored array, everything else derived."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Schedule:
    """Hold ``alpha_bar[0..T]``: the share of signal variance, 1 when clean, falling strictly towards noise."""

    alpha_bar: Float64[Tensor, " levels"]

    def __post_init__(self) -> None:
        """Refuse an array that is not a noise schedule."""
        if len(self.alpha_bar) < 2 or not bool(torch.isfinite(self.alpha_bar).all()):
            raise ValueError(f"alpha_bar must hold two or more finite levels, but got {self.alpha_bar}")
        if float(self.alpha_bar[0]) != 1.0:
            raise ValueError(f"alpha_bar must start clean at 1, but got {float(self.alpha_bar[0])}")
        steps = self.alpha_bar.diff()
        if float(self.alpha_bar[-1]) < 0 or not bool((steps < 0).all()):
            raise ValueError(
                "alpha_bar must fall strictly and stay at or above 0,"
                f" but it ends at {float(self.alpha_bar[-1])} and its smallest fall is {float(-steps.max())}"
            )

    @property
    def timesteps(self) -> int:
        """Return T, the noisiest level; the network sees levels 1 to T."""
        return len(self.alpha_bar) - 1

    @property
    def is_zero_terminal(self) -> bool:
        """Say whether level T is pure noise, from which a noise prediction cannot tell the image."""
        return float(self.alpha_bar[-1]) == 0.0

    @property
    def betas(self) -> Float64[Tensor, " steps"]:
        """Return the variance each step adds; entry ``t - 1`` leads to level t."""
        return 1 - self.alpha_bar[1:] / self.alpha_bar[:-1]

    @property
    def snr(self) -> Float64[Tensor, " levels"]:
        """Return signal over noise variance per level; infinite at level 0."""
        return self.alpha_bar / (1 - self.alpha_bar)

    @property
    def log_snr(self) -> Float64[Tensor, " levels"]:
        """Return the natural logarithm of ``snr``; infinite where the level is clean or pure noise."""
        return self.snr.log()

    def at(self, t: Int64[Tensor, " b"], like: Float[Tensor, "b ..."]) -> Float64[Tensor, "b ..."]:
        """Return ``alpha_bar[t]`` in float64, shaped to multiply ``like`` sample by sample.

        Take roots and differences before casting down: ``1 - alpha_bar`` cancels in float32.
        """
        return self.alpha_bar.to(like.device)[t.to(like.device)].reshape(-1, *[1] * (like.ndim - 1))
