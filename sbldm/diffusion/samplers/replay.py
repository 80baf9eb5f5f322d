"""Every early-stopping threshold from one full walk: record it once, then ask what each rule would have done."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from sbldm.diffusion.samplers.loop import SampleStep
from sbldm.diffusion.samplers.stopping import Stopping, mean_square
from sbldm.diffusion.schedules.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One full walk of a batch: at each step the level, its SNR, predicted errors, changes and the clean estimates."""

    levels: tuple[int, ...]
    snr: Float64[Tensor, " steps"]
    relative_error: Float64[Tensor, "steps b"]
    change: Float64[Tensor, "steps b"]
    clean: Float[Tensor, "steps b ..."]


@dataclass(frozen=True, eq=False)
class Replay:
    """What a stopping rule would have done, per sample."""

    step: Int64[Tensor, " b"]
    """Index of the step each sample stops at."""
    calls: Int64[Tensor, " b"]
    saved: Int64[Tensor, " b"]
    clean: Float[Tensor, "b ..."]
    gap: Float64[Tensor, " b"]
    """RMS distance to the full walk's result from the same noise, over that result's RMS."""


def record(steps: Iterable[SampleStep], schedule: Schedule) -> Trajectory:
    """Return the trajectory of a walk in which no sample stopped early.

    Args:
        steps: all records of one ``sample`` call.
        schedule: the schedule it walked, for the SNR of each level.
    """
    walked = list(steps)
    if not walked or walked[-1].s != 0 or not all(bool(step.active.all()) for step in walked[:-1]):
        raise ValueError(
            "a replay needs a full walk to level 0 in which no sample stops early; record without adaptive"
        )
    levels = tuple(step.t for step in walked)
    return Trajectory(
        levels=levels,
        snr=schedule.snr[list(levels)],
        relative_error=torch.stack([step.relative_error for step in walked]),
        change=torch.stack([step.change for step in walked]),
        clean=torch.stack([step.clean for step in walked]),
    )


def replay(trajectory: Trajectory, stopping: Stopping) -> Replay:
    """Return where each sample would have stopped under a rule, and what that saves and costs."""
    watched = stopping.choose(trajectory.relative_error, trajectory.change)
    steps, batch = watched.shape
    streak = torch.zeros(batch, dtype=torch.int64, device=trajectory.clean.device)
    stop = torch.full_like(streak, steps - 1)
    for index in range(steps - 1):
        streak = stopping.extend(streak, watched[index], float(trajectory.snr[index]))
        stop = torch.where(stopping.is_met(streak) & (stop > index), index, stop)
    clean = trajectory.clean[stop, torch.arange(batch, device=stop.device)]
    final = trajectory.clean[-1]
    distance = mean_square(clean - final) / mean_square(final).clamp_min(torch.finfo(torch.float64).tiny)
    return Replay(step=stop, calls=stop + 1, saved=steps - 1 - stop, clean=clean, gap=distance.sqrt())
