"""New slices from a model: sample i depends on the seed and on i, on nothing else."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from sbldm.diffusion import SamplerSpec, SampleStep
from sbldm.errors import ConfigError
from sbldm.model.latent_diffusion import LatentDiffusion
from sbldm.model.told import set_out
from sbldm.seeding import derive_seed, generator, sample_noise


@dataclass(frozen=True, eq=False)
class GeneratedBatch:
    """Generated slices with their label maps, on the CPU.

    Attributes:
        images: in [-1, 1].
        labels: 0 background, 1.. classes.
        positions: the slice positions the network was told.
        calls: network calls each sample took; a guided step takes two.
        first: number of the batch's first sample.
        seconds: wall time of the batch, decoding included.
        conditions: the numbers the network was told, in their own units, NaN where unknown; None without conditions.
    """

    images: Float[Tensor, "b i h w"]
    labels: UInt8[Tensor, "b h w"]
    positions: Float[Tensor, " b"]
    calls: Int64[Tensor, " b"]
    first: int
    seconds: float
    conditions: Float[Tensor, "b k"] | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked of the model, the same for all batches."""

    sampler: SamplerSpec
    seed: int
    positions: Float[Tensor, " m"] | None = None
    conditions: Mapping[str, float] = field(default_factory=dict)
    guidance: float = 0.0


@dataclass(frozen=True, eq=False)
class Begun:
    """A batch on its way: the steps to come, and what the network is told of each sample."""

    steps: Iterator[SampleStep]
    positions: Float[Tensor, " b"]
    conditions: Float[Tensor, "b k"] | None


def generate(
    model: LatentDiffusion,
    count: int,
    *,
    sampler: SamplerSpec,
    seed: int,
    positions: Float[Tensor, " m"] | None = None,
    conditions: Mapping[str, float] | None = None,
    guidance: float = 0.0,
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
        conditions: numbers that all samples are told; those not given come, with the position, from one training slice,
            which is among those most like what is asked for where some are given.
        guidance: w of Ho & Salimans 2022, eq. 6: 0 is plainly conditional, above 0 follows conditions more closely.
        batch: samples at a time; results agree to rounding at any size.
        first: samples before this one are already there.
    """
    if count < 1 or batch < 1 or not 0 <= first <= count:
        raise ValueError(
            f"count and batch must be at least 1 and first in 0..count, but got {count=} {batch=} {first=}"
        )
    check_request(model, conditions or {}, guidance)
    request = Request(sampler, seed, positions, conditions or {}, guidance)
    for start in range(first, count, batch):
        yield _generate_batch(model, range(start, min(start + batch, count)), request)


def begin(model: LatentDiffusion, indices: range, request: Request) -> Begun:
    """Set out with the samples of these numbers; each step is a record of the sampling loop."""
    if model.device.type == "cpu":  # its convolutions and attention read channels side by side, up to a quarter faster
        model.network.to(memory_format=torch.channels_last)
    noise = sample_noise(request.seed, indices, model.spec.latent_shape)
    positions, conditions = _draw_cues(model, indices, request)
    seeds = [derive_seed(request.seed, "sample", index) for index in indices]
    steps = set_out(model, request.sampler, noise, positions, conditions, seeds=seeds, guidance=request.guidance)
    return Begun(steps, positions, conditions)


def check_request(model: LatentDiffusion, conditions: Mapping[str, float], guidance: float) -> None:
    """Refuse conditions and guidance that this model cannot heed.

    Raises:
        ConfigError: the model has no conditions, a name is unknown, or a value is far outside the training range.
    """
    if model.conditioner:
        model.conditioner.check(conditions)
    elif conditions or guidance:
        asked = f"conditions {', '.join(conditions)}" if conditions else f"guidance {guidance:g}"
        raise ConfigError(f"this model was trained without conditions and cannot heed {asked}")


def draw_positions(pool: Float[Tensor, " m"], seed: int, indices: range) -> Float[Tensor, " b"]:
    """Return one position of the pool for each sample number."""
    return pool[_draw_rows(len(pool), seed, indices)]


def draw_conditions(
    model: LatentDiffusion,
    positions: Float[Tensor, " b"],
    seed: int,
    indices: range,
    wanted: Mapping[str, float] | None = None,
) -> Float[Tensor, "b k"]:
    """Return for each sample the conditions of one training slice, of those alike the nearest to its position."""
    assert model.conditioner is not None, "only a model with conditions is asked for some"
    rows, alike = [], model.conditioner.alike(wanted or {})
    for position, index in zip(positions, indices, strict=True):
        gaps = (model.positions[alike] - position).abs()
        nearest = alike[gaps == gaps.min()]
        rows.append(int(nearest[torch.randint(len(nearest), (), generator=generator(seed, "condition", index))]))
    return model.conditioner.rows.values[rows]


@torch.no_grad()
def _generate_batch(model: LatentDiffusion, indices: range, request: Request) -> GeneratedBatch:
    started = time.perf_counter()
    begun = begin(model, indices, request)
    for step in begun.steps:
        last = step
    decoded = model.codec.decode(last.clean)
    return GeneratedBatch(
        images=decoded.images.cpu(),
        labels=decoded.labels.cpu(),
        positions=begun.positions,
        calls=last.calls.cpu() * (2 if request.guidance else 1),
        first=indices.start,
        seconds=time.perf_counter() - started,
        conditions=begun.conditions,
    )


def _draw_cues(
    model: LatentDiffusion, indices: range, request: Request
) -> tuple[Float[Tensor, " b"], Float[Tensor, "b k"] | None]:
    """Return positions and conditions, both of one training slice unless positions are given or numbers asked for."""
    pool = model.positions if request.positions is None else request.positions
    rows = _draw_rows(len(pool), request.seed, indices)
    if model.conditioner is None:
        return pool[rows], None
    drawn = (
        model.conditioner.rows.values[rows]
        if request.positions is None and not request.conditions
        else draw_conditions(model, pool[rows], request.seed, indices, request.conditions)
    )
    return pool[rows], model.conditioner.request(request.conditions, drawn)


def _draw_rows(count: int, seed: int, indices: range) -> list[int]:
    return [int(torch.randint(count, (), generator=generator(seed, "position", index))) for index in indices]
