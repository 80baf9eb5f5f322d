"""Whole volumes from a model of slices: evenly spaced slices whose noise hangs together along the slice axis."""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sbldm.diffusion import SamplerSpec, sample
from sbldm.latent import Decoded
from sbldm.model.coherence import Coherence, CoherentSampler, NoiseField
from sbldm.model.latent_diffusion import LatentDiffusion
from sbldm.model.spec import CUES
from sbldm.seeding import derive_seed

LEAST_LENGTH = 0.2  # of the slice spacing: noise of neighbors then correlates by 4e-6, so it may as well by 0


@dataclass(frozen=True, eq=False)
class GeneratedVolume:
    """The slices of one volume that no patient has, first to last, on the CPU.

    Attributes:
        images: in [-1, 1].
        labels: 0 background, 1.. classes.
        positions: the slice positions the network was told, evenly spaced and ascending.
        spacing_mm: between slices, between rows, between columns.
        index: number of the volume.
        seconds: wall time, decoding included.
    """

    images: Float[Tensor, "z i h w"]
    labels: UInt8[Tensor, "z h w"]
    positions: Float[Tensor, " z"]
    spacing_mm: tuple[float, float, float]
    index: int
    seconds: float


def generate_volume(
    model: LatentDiffusion,
    *,
    sampler: SamplerSpec,
    seed: int,
    slices: int,
    index: int,
    spacing_mm: tuple[float, float, float],
    coherence: Coherence | None = None,
    batch: int = 64,
) -> GeneratedVolume:
    """Return volume ``index``: it depends on the seed and on its number, not on how many others there are.

    Each slice alone is an ordinary sample of its position, by the sampler's own law: start and fresh noise
    are standard normal in every slice, and correlated between slices only.

    Args:
        model: where to sample from.
        sampler: how noise is walked to a latent; an early stop is not taken.
        seed: of all noise.
        slices: how many, evenly spaced from the first to the last training position.
        index: number of the volume.
        spacing_mm: between these slices, between rows, between columns; the unit of the coherence.
        coherence: over what distance noise is alike; by default that of ``Coherence``.
        batch: slices at a time; results agree to rounding at any size.
    """
    if slices < 1 or batch < 1 or index < 0:
        raise ValueError(
            f"slices and batch must be at least 1 and index at least 0, but got {slices=} {batch=} {index=}"
        )
    if not min(spacing_mm) > 0:
        raise ValueError(f"spacing must be above 0 mm, but got {spacing_mm=}")
    started = time.perf_counter()
    positions = spread_positions(model.positions, slices)
    length = measure_length(coherence or Coherence(), positions, spacing_mm[0])
    field = NoiseField(derive_seed(seed, "volume", index), tuple(positions.tolist()), length)
    parts = [_walk(model, sampler, some) for some in field.split(batch)]
    return GeneratedVolume(
        images=torch.cat([part.images.cpu() for part in parts]),
        labels=torch.cat([part.labels.cpu() for part in parts]),
        positions=positions,
        spacing_mm=spacing_mm,
        index=index,
        seconds=time.perf_counter() - started,
    )


def spread_positions(pool: Float[Tensor, " m"], slices: int) -> Float[Tensor, " z"]:
    """Return evenly spaced positions from the lowest to the highest of a pool; a lone slice lies between them."""
    low, high = (float(end) for end in pool.aminmax())
    return torch.linspace(low, high, slices) if slices > 1 else torch.tensor([(low + high) / 2])


def measure_length(coherence: Coherence, positions: Float[Tensor, " z"], slice_mm: float) -> float:
    """Return the length of the coherence in the unit of the positions; 0 where it is far below the spacing."""
    gap = float(positions[1] - positions[0]) if len(positions) > 1 else 1.0
    slices = coherence.length_mm / slice_mm
    return slices * gap if slices >= LEAST_LENGTH else 0.0


@torch.no_grad()
def _walk(model: LatentDiffusion, sampler: SamplerSpec, field: NoiseField) -> Decoded:
    noise = field.draw(model.spec.latent_shape, "start").to(model.device)
    cues = torch.zeros(len(noise), len(CUES))  # the CutMix cue stays 0
    cues[:, 0] = torch.tensor(field.positions)
    coherent = CoherentSampler(inner=sampler, field=field)
    unused = [0] * len(noise)  # the field, not a generator per slice, draws the fresh noise
    for step in sample(coherent, model.denoiser(), noise, cues.to(model.device), seeds=unused):
        last = step
    return model.codec.decode(last.clean)
