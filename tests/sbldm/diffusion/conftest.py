from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from sbldm.diffusion.process import Denoiser, Prediction, target
from sbldm.diffusion.schedules import Schedule


@dataclass(frozen=True)
class GaussianData:
    """Data drawn from N(mean + first cue, sd^2): posterior mean and flow are known exactly."""

    mean: float = 0.7
    sd: float = 0.5

    def denoiser(self, schedule: Schedule, prediction: Prediction = "v") -> Denoiser:
        def predictor(noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
            alpha_bar = schedule.at(t, noisy).to(noisy.dtype)
            variance = alpha_bar * self.sd**2 + 1 - alpha_bar
            mean = self.mean + cues[:, :1].to(noisy).reshape(-1, *[1] * (noisy.ndim - 1))
            surprise = (noisy - alpha_bar.sqrt() * mean) / variance
            clean = mean + alpha_bar.sqrt() * self.sd**2 * surprise
            noise = (1 - alpha_bar).sqrt() * surprise
            return target(clean, noise, t, schedule, prediction)

        return Denoiser(predictor, schedule, prediction)

    def answer(self, noise: Tensor, schedule: Schedule) -> Tensor:
        """Return where the exact flow takes this noise if cues are 0: quantiles stay."""
        return self.mean + self.sd * self._quantile(noise, schedule)

    def estimate_on_the_way(self, noise: Tensor, schedule: Schedule, t: int) -> Tensor:
        """Return the exact clean estimate where the exact flow of this noise passes level t."""
        alpha_bar = float(schedule.alpha_bar[t])
        spread = (alpha_bar * self.sd**2 + 1 - alpha_bar) ** 0.5
        return self.mean + alpha_bar**0.5 * self.sd**2 / spread * self._quantile(noise, schedule)

    def _quantile(self, noise: Tensor, schedule: Schedule) -> Tensor:
        alpha_bar = float(schedule.alpha_bar[-1])
        return (noise - alpha_bar**0.5 * self.mean) / (alpha_bar * self.sd**2 + 1 - alpha_bar) ** 0.5


@pytest.fixture
def gaussian() -> GaussianData:
    return GaussianData()


@pytest.fixture(autouse=True)
def one_thread_is_enough() -> None:
    torch.set_num_threads(1)
