"""New slices from a model: sample i depends on the seed and on i, on nothing else."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from sbldm.diffusion import SamplerSpec, sample
from sbldm.model.latent_diffusion import LatentDiffusion
from sbldm.model.spec import CUES
from sbldm.seeding import derive_seed, generator, sample_noise


@dataclass(frozen=True, eq=False)
class GeneratedBatch:
    """Generated slices with their label maps, on the CPU.

    Attributes:
        images: in [-1, 1].
        labels: 0 background, 1.. classes.
        positions: the slice positions the network was told.
        calls: network calls each sample took.
        first: number of the batch's first sample.
        seconds: wall time of the batch, decoding included.
    """

    images: Float[Tensor, "b i h w"]
    labels: UInt8[Tensor, "b h w"]
    positions: Float[Tensor, " b"]
    calls: Int64[Tensor, " b"]
    first: int
    seconds: float


def generate(
    model: LatentDiffusion,
    count: int,
    *,
    sampler: SamplerSpec,
    seed: int,
    positions: Float[Tensor, " m"] | None = None,
    batch: int = 64,
    first: int = 0,
) -> Iterator[GeneratedBatch]:
    """Yield samples ``first`` to ``count - 1`` in batches.

    Args:
        model: where to sample from.
        count: how many samples there shall be in all.
        sampler: how noise is walked to a latent.
        seed: of noise, positions and the sampler's own draws.
        positions: slice positions to draw from; by default those of the training slices.
        batch: samples at a time; results agree to rounding at any size.
        first: samples before this one are already there.
    """
    if count < 1 or batch < 1 or not 0 <= first <= count:
        raise ValueError(
            f"count and batch must be at least 1 and first in 0..count, but got {count=} {batch=} {first=}"
        )
    pool = model.positions if positions is None else positions
    for start in range(first, count, batch):
        yield _generate_batch(model, range(start, min(start + batch, count)), sampler, seed, pool)


def draw_positions(pool: Float[Tensor, " m"], seed: int, indices: range) -> Float[Tensor, " b"]:
    """Return one position of the pool for each sample number."""
    drawn = [int(torch.randint(len(pool), (), generator=generator(seed, "position", index))) for index in indices]
    return pool[drawn]


@torch.no_grad()
def _generate_batch(
    model: LatentDiffusion, indices: range, sampler: SamplerSpec, seed: int, pool: Float[Tensor, " m"]
) -> GeneratedBatch:
    started = time.perf_counter()
    noise = sample_noise(seed, indices, model.spec.latent_shape).to(model.device)
    positions = draw_positions(pool, seed, indices)
    cues = torch.zeros(len(indices), len(CUES))  # the CutMix cue stays 0
    cues[:, 0] = positions
    seeds = [derive_seed(seed, "sample", index) for index in indices]
    for step in sample(sampler, model.denoiser(), noise, cues.to(model.device), seeds=seeds):
        last = step
    decoded = model.codec.decode(last.clean)
    return GeneratedBatch(
        images=decoded.images.cpu(),
        labels=decoded.labels.cpu(),
        positions=positions,
        calls=last.calls.cpu(),
        first=indices.start,
        seconds=time.perf_counter() - started,
    )
