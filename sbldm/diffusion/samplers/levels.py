"""Which levels a short walk visits: always T first and 0 last, and exactly as many steps as asked."""

from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from sbldm.diffusion.schedules.schedule import Schedule
from sbldm.errors import ConfigError

Spacing = Literal["trailing", "uniform", "log-snr"]


def spaced_levels(schedule: Schedule, steps: int, spacing: Spacing) -> tuple[int, ...]:
    """Return ``steps + 1`` falling levels from T to 0.

    Args:
        schedule: gives T, and the signal-to-noise ratios for log-snr spacing.
        steps: network calls, at most T.
        spacing: trailing: equal strides that end on 0 (Lin et al. 2023); uniform: evenly from T to 1, then 0;
            log-snr: evenly in the logarithm of the signal-to-noise ratio from T to 1, then 0.
    """
    last = schedule.timesteps
    if not 1 <= steps <= last:
        raise ConfigError(f"a sampler takes between 1 and {last} steps on this schedule, but got {steps=}")
    wished = _WISHES[spacing](schedule, steps)
    levels: list[int] = []
    for index, level in enumerate(wished.round().long().tolist()):
        below_the_last = levels[-1] - 1 if levels else last
        levels.append(max(min(level, below_the_last), steps - index))
    return (*levels, 0)


def _trailing(schedule: Schedule, steps: int) -> Float64[Tensor, " steps"]:
    return schedule.timesteps * (1 - torch.arange(steps, dtype=torch.float64) / steps)


def _uniform(schedule: Schedule, steps: int) -> Float64[Tensor, " steps"]:
    return torch.linspace(schedule.timesteps, 1, steps, dtype=torch.float64)


def _log_snr(schedule: Schedule, steps: int) -> Float64[Tensor, " steps"]:
    rising = schedule.log_snr[1:].flip(0)  # from level T to level 1
    finite = rising[1:] if schedule.is_zero_terminal else rising
    wished = torch.linspace(float(finite[0]), float(finite[-1]), steps, dtype=torch.float64)
    nearest = (rising[None, :] - wished[:, None]).abs().argmin(1)
    levels = (schedule.timesteps - nearest).double()
    levels[0] = schedule.timesteps
    return levels


_WISHES = {"trailing": _trailing, "uniform": _uniform, "log-snr": _log_snr}
