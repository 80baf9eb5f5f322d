"""Slices of which each is told a position and conditions of its own."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sbldm.diffusion import SamplerSpec, SampleStep, sample
from sbldm.diffusion.guidance import guide
from sbldm.latent import Decoded
from sbldm.model.latent_diffusion import LatentDiffusion
from sbldm.model.spec import CUES, forget_conditions
from sbldm.seeding import derive_seed, sample_noise


def tell(
    model: LatentDiffusion,
    positions: Float[Tensor, " n"],
    told: Float[Tensor, "n k"],
    *,
    sampler: SamplerSpec,
    seed: int,
    guidance: float = 0.0,
    batch: int = 64,
) -> Iterator[UInt8[Tensor, "b h w"]]:
    """Yield the label maps of one slice per row, in batches, on the CPU; row i depends on the seed and on i.

    Args:
        model: where to sample from; it knows conditions.
        positions: of the slices, in [-1, 1].
        told: the conditions of each, in their own units; NaN where unknown.
        sampler: how noise is walked to a latent.
        seed: of noise and the sampler's own draws.
        guidance: as ``generate`` has it.
        batch: samples at a time; results agree to rounding at any size.
    """
    for rows in torch.split(torch.arange(len(positions)), batch):
        indices = range(int(rows[0]), int(rows[-1]) + 1)
        noise = sample_noise(seed, indices, model.spec.latent_shape)
        seeds = [derive_seed(seed, "sample", index) for index in indices]
        found = walk(model, sampler, noise, positions[rows], told[rows], seeds=seeds, guidance=guidance)
        yield found.labels.cpu()


@torch.no_grad()
def walk(
    model: LatentDiffusion,
    sampler: SamplerSpec,
    noise: Float[Tensor, "b c h w"],
    positions: Float[Tensor, " b"],
    told: Float[Tensor, "b k"] | None,
    *,
    seeds: Sequence[int],
    guidance: float = 0.0,
) -> Decoded:
    """Return the slices that the sampler makes of this noise; without ``told`` nothing is known of conditions."""
    for step in set_out(model, sampler, noise, positions, told, seeds=seeds, guidance=guidance):
        last = step
    return model.codec.decode(last.clean)


def set_out(
    model: LatentDiffusion,
    sampler: SamplerSpec,
    noise: Float[Tensor, "b c h w"],
    positions: Float[Tensor, " b"],
    told: Float[Tensor, "b k"] | None,
    *,
    seeds: Sequence[int],
    guidance: float = 0.0,
) -> Iterator[SampleStep]:
    """Return the steps from this noise to latents, each a record of the sampling loop."""
    cues = torch.zeros(len(noise), len(CUES))  # the CutMix cue stays 0
    cues[:, 0] = positions
    if model.conditioner and told is not None:
        cues = torch.cat([cues, model.conditioner.encode(told)], dim=1)
    denoiser = guide(model.denoiser(sampler.precision, sampler.autoguidance), guidance, forget_conditions)
    return sample(sampler, denoiser, noise.to(model.device), cues.to(model.device), seeds=list(seeds))
