"""How well a network denoises unseen latents, by noise level: comparable between schedules and losses."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int64
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
    """

    low: float
    high: float
    clean_error: float
    noise_error: float
    n: int


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
    sums = torch.zeros(2, dtype=torch.float64)
    for rows in torch.split(torch.arange(count), batch):
        noise = sample_noise(seed, rows.tolist(), latents.shape[1:]).to(latents)
        t = levels[chosen[rows]].to(latents.device)
        estimate = denoiser(diffuse(latents[rows], noise, t, denoiser.schedule), t, cues[rows])
        sums += torch.stack([_squared(estimate.clean - latents[rows]), _squared(estimate.noise - noise)]).cpu()
    clean, noisy = (sums / count).tolist()
    return BinLoss(low=low, high=high, clean_error=clean, noise_error=noisy, n=count)


def _squared(error: Float[Tensor, "b ..."]) -> Tensor:
    return error.double().square().flatten(1).mean(1).sum()
