"""How well a network denoises unseen latents, by noise level: comparable between schedules and losses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int64
from scipy import stats
from torch import Tensor

from sbldm.diffusion import Denoiser, Schedule, diffuse
from sbldm.seeding import generator, sample_noise

LOG_SNR_EDGES = -10.0, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 10.0


@dataclass(frozen=True)
class BinLoss:
    """Mean squared errors between two natural logarithms of the signal-to-noise ratio.

    Attributes:
        low: lower edge, included.
        high: upper edge, excluded.
        clean_error: of the clean latent.
        noise_error: of the noise; equal to ``clean_error`` times the signal-to-noise ratio at each level.
        n: latents it is averaged over, each at one level of the bin.
        clean_errors: that of each latent, in order; resample them by patient for an interval.
    """

    low: float
    high: float
    clean_error: float
    noise_error: float
    n: int
    clean_errors: tuple[float, ...] = ()


@dataclass(frozen=True)
class LossInterval:
    """A mean clean error over slices, and where it may lie for other patients; NaN with fewer than two patients."""

    point: float
    low: float
    high: float
    patients: int


def loss_intervals(
    bins: Sequence[BinLoss], patients: Int64[Tensor, " n"], *, level: float = 0.95
) -> dict[str, LossInterval]:
    """Return the clean error of each bin as it is logged, e.g. ``validation/loss_snr_-2_0``.

    Patients are left out one at a time (jackknife, Efron & Stein 1981), since slices of one patient are alike; the
    interval is Student's with one degree of freedom fewer than there are patients.
    """
    return {f"validation/loss_snr_{each.low:g}_{each.high:g}": _interval(each, patients, level) for each in bins}


def _interval(each: BinLoss, patients: Int64[Tensor, " n"], level: float) -> LossInterval:
    owner = torch.unique(patients, return_inverse=True)[1].cpu()
    errors = torch.tensor(each.clean_errors, dtype=torch.float64)
    sums, slices = torch.bincount(owner, errors), torch.bincount(owner)
    count, point = len(sums), float(errors.mean())
    if count < 2:
        return LossInterval(point, math.nan, math.nan, count)
    without = (sums.sum() - sums) / (slices.sum() - slices)
    spread = math.sqrt(float((count - 1) / count * (without - without.mean()).square().sum()))
    reach = float(stats.t.ppf(0.5 + level / 2, count - 1)) * spread
    return LossInterval(point, point - reach, point + reach, count)


def validation_loss(
    denoiser: Denoiser,
    latents: Float[Tensor, "n z h w"],
    cues: Float[Tensor, "n k"],
    *,
    seed: int,
    edges: Sequence[float] = LOG_SNR_EDGES,
    batch: int = 64,
) -> tuple[BinLoss, ...]:
    """Return the errors in each bin of log-SNR that the schedule reaches; the same seed, the same noise and levels."""
    bins = ((low, high, _levels(denoiser.schedule, low, high)) for low, high in pairwise(edges))
    return tuple(
        _bin_loss(denoiser, latents, cues, levels, low=low, high=high, seed=seed, batch=batch)
        for low, high, levels in bins
        if len(levels)
    )


def _levels(schedule: Schedule, low: float, high: float) -> Int64[Tensor, " m"]:
    log_snr = schedule.log_snr
    return ((log_snr >= low) & (log_snr < high)).nonzero().flatten()


@torch.no_grad()
def _bin_loss(
    denoiser: Denoiser,
    latents: Float[Tensor, "n z h w"],
    cues: Float[Tensor, "n k"],
    levels: Int64[Tensor, " m"],
    *,
    low: float,
    high: float,
    seed: int,
    batch: int,
) -> BinLoss:
    count = len(latents)
    chosen = torch.randint(len(levels), (count,), generator=generator(seed, "validation", "levels"))
    clean_errors: list[float] = []
    noise_errors: list[float] = []
    for rows in torch.split(torch.arange(count), batch):
        noise = sample_noise(seed, rows.tolist(), latents.shape[1:]).to(latents)
        t = levels[chosen[rows]].to(latents.device)
        estimate = denoiser(diffuse(latents[rows], noise, t, denoiser.schedule), t, cues[rows])
        clean_errors += _squared(estimate.clean - latents[rows])
        noise_errors += _squared(estimate.noise - noise)
    return BinLoss(
        low=low,
        high=high,
        clean_error=math.fsum(clean_errors) / count,
        noise_error=math.fsum(noise_errors) / count,
        n=count,
        clean_errors=tuple(clean_errors),
    )


def _squared(error: Float[Tensor, "b ..."]) -> list[float]:
    means: list[float] = error.double().square().flatten(1).mean(1).tolist()
    return means
