"""Whole volumes from a model of slices: evenly spaced slices whose noise hangs together along the slice axis."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sbldm.diffusion import SamplerSpec
from sbldm.latent import Decoded
from sbldm.model.coherence import Coherence, CoherentSampler, NoiseField
from sbldm.model.generate import check_request
from sbldm.model.latent_diffusion import LatentDiffusion
from sbldm.model.told import walk
from sbldm.seeding import derive_seed, generator

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
        conditions: what the network was told of each slice, in its own unit, NaN where unknown; None without any.
    """

    images: Float[Tensor, "z i h w"]
    labels: UInt8[Tensor, "z h w"]
    positions: Float[Tensor, " z"]
    spacing_mm: tuple[float, float, float]
    index: int
    seconds: float
    conditions: Float[Tensor, "z k"] | None = None


def generate_volume(
    model: LatentDiffusion,
    *,
    sampler: SamplerSpec,
    seed: int,
    slices: int,
    index: int,
    spacing_mm: tuple[float, float, float],
    coherence: Coherence | None = None,
    conditions: Mapping[str, float] | None = None,
    guidance: float = 0.0,
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
        conditions: numbers that all slices are told; those not given are of one training patient like that.
        guidance: as ``generate`` has it.
        batch: slices at a time; results agree to rounding at any size.

    Raises:
        ConfigError: the model knows no such condition, or its value is far outside the training range.
    """
    check_request(model, conditions or {}, guidance)
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
    told = None
    if model.conditioner:
        told = model.conditioner.request(conditions or {}, draw_patient(model, positions, seed, index, conditions))
    parts = [_walk(model, sampler, some, told, guidance) for some in field.split(batch)]
    return GeneratedVolume(
        images=torch.cat([part.images.cpu() for part in parts]),
        labels=torch.cat([part.labels.cpu() for part in parts]),
        positions=positions,
        spacing_mm=spacing_mm,
        index=index,
        seconds=time.perf_counter() - started,
        conditions=told,
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


def draw_patient(
    model: LatentDiffusion,
    positions: Float[Tensor, " z"],
    seed: int,
    index: int,
    wanted: Mapping[str, float] | None = None,
) -> Float[Tensor, "z k"]:
    """Return the conditions of one training patient's slices, for each position those of the nearest slice.

    Where numbers are wanted, it is one of the patients most like them. A model knows no patients, but keeps the slices
    of each together and in ascending order.
    """
    assert model.conditioner is not None, "only a model with conditions is asked for some"
    pool = model.positions
    alike = model.conditioner.alike(wanted or {})
    row = int(alike[torch.randint(len(alike), (), generator=generator(seed, "volume patient", index))])
    falls = [0, *(1 + (pool.diff() <= 0).nonzero().flatten()).tolist(), len(pool)]
    first = max(start for start in falls if start <= row)
    own = torch.arange(first, min(end for end in falls if end > row))
    nearest = (positions[:, None] - pool[own]).abs().argmin(1)
    return model.conditioner.rows.values[own[nearest]]


def _walk(
    model: LatentDiffusion, sampler: SamplerSpec, field: NoiseField, told: Float[Tensor, "n k"] | None, guidance: float
) -> Decoded:
    """Return the slices of a part of the volume, whose numbers in it the field knows."""
    noise, places = field.draw(model.spec.latent_shape, "start"), torch.tensor(field.positions)
    own = None if told is None else told[field.first : field.first + len(noise)]
    unused = [0] * len(noise)  # the field, not a generator per slice, draws the fresh noise
    coherent = CoherentSampler(inner=sampler, field=field)
    return walk(model, coherent, noise, places, own, seeds=unused, guidance=guidance)
