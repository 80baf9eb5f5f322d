"""Samples of a model on disk: made once per (network, sampler, seed, count), and as one npz for the user."""

import io
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sbldm.diffusion import SamplerSpec
from sbldm.errors import ConfigError
from sbldm.files import atomic_write
from sbldm.model import GeneratedBatch, LatentDiffusion, generate
from sbldm.spec import digest_of
from sbldm.training import choose_device
from search.cache import Cache, Entry
from search.events import Event, Progress
from search.stages import cached

SAMPLES = "samples.npz"
Draw = Callable[[], Generator[Event, None, list[GeneratedBatch]]]


@dataclass(frozen=True, eq=False)
class Samples:
    """Generated slices and what they cost.

    Attributes:
        images: in [0, 1].
        labels: 0 background, 1.. classes.
        path: the npz file they are read from.
    """

    images: Float[Tensor, "n 1 h w"]
    labels: UInt8[Tensor, "n h w"]
    path: Path
    seconds_per_image: float
    network_calls: float
    conditions: dict[str, Float[Tensor, " n"]] = field(default_factory=dict)
    """What the network was told of each sample, in its own unit, NaN where unknown."""


def sample_stage(
    model: LatentDiffusion,
    model_digest: str,
    *,
    sampler: SamplerSpec,
    count: int,
    seed: int,
    batch: int,
    cache: Cache,
    device: str = "auto",
    conditions: Mapping[str, float] | None = None,
    guidance: float = 0.0,
) -> Generator[Event, None, Samples]:
    """Return samples 0 to count - 1; settings that differ in the sampler alone share one model.

    Raises:
        ConfigError: the model knows no such condition, or its value is far outside the training range.
    """
    digest = digest_samples(model_digest, sampler, count, seed, *name_request(conditions or {}, guidance))

    def draw() -> Generator[Event, None, list[GeneratedBatch]]:
        batches: list[GeneratedBatch] = []
        placed = model.to(choose_device(device))  # type: ignore[arg-type]
        parts = generate(
            placed, count, sampler=sampler, seed=seed, batch=batch, conditions=conditions, guidance=guidance
        )
        for part in parts:
            batches.append(part)
            yield Progress("samples", part.first + len(part.images), count)
        return batches

    return (yield from keep_samples(draw, digest, model.spec.conditions, cache))


def digest_samples(model_digest: str, sampler: SamplerSpec, count: int, seed: int, *told: Mapping[str, Any]) -> str:
    """Return what names samples 0 to count - 1 in the cache, however they are made."""
    return digest_of([model_digest, sampler.model_dump(mode="json"), count, seed, *told])


def keep_samples(draw: Draw, digest: str, conditions: tuple[str, ...], cache: Cache) -> Generator[Event, None, Samples]:
    """Return the samples of this name, drawn now if they are not in the cache."""

    def build(entry: Entry) -> Generator[Event, None, dict[str, Any]]:
        batches = yield from draw()
        write_samples(entry.directory / SAMPLES, batches, conditions)
        calls = torch.cat([part.calls for part in batches]).double()
        seconds = sum(part.seconds for part in batches)
        return {"seconds_per_image": seconds / len(calls), "network_calls": float(calls.mean())}

    entry, meta = yield from cached(cache, "samples", digest, build)
    path = entry.directory / SAMPLES
    images, labels = read_samples(path)
    return Samples(images, labels, path, meta["seconds_per_image"], meta["network_calls"], read_told(path))


def name_request(conditions: Mapping[str, float], guidance: float) -> list[dict[str, Any]]:
    """Return what is asked for as part of a digest; ``others`` says whence numbers come that are not asked for."""
    asked = {"conditions": {name: float(value) for name, value in conditions.items()}, "guidance": guidance}
    return [asked | ({"others": "alike"} if conditions else {})] if conditions or guidance else []


def parse_conditions(words: Sequence[str] | None) -> dict[str, float]:
    """Turn ``volume=1200`` and the like into numbers by name; the last word on a name counts.

    Raises:
        ConfigError: a word is no such pair.
    """
    return dict(_parse_condition(word) for word in words or ())


def write_samples(path: Path, batches: list[GeneratedBatch], names: tuple[str, ...] = ()) -> None:
    """Write images in [0, 1], label maps, slice positions and named conditions, if any, as one npz."""
    content = io.BytesIO()
    told = [part.conditions for part in batches if part.conditions is not None]
    named: dict[str, Any] = {"conditions": torch.cat(told).numpy(), "condition_names": np.array(names)} if told else {}
    np.savez_compressed(
        content,
        images=torch.cat([(part.images + 1) / 2 for part in batches]).clamp(0, 1).numpy(),
        labels=torch.cat([part.labels for part in batches]).numpy(),
        positions=torch.cat([part.positions for part in batches]).numpy(),
        **named,
    )
    atomic_write(path, content.getvalue())


def read_samples(path: Path) -> tuple[Float[Tensor, "n 1 h w"], UInt8[Tensor, "n h w"]]:
    """Return images in [0, 1] and label maps of an npz that ``write_samples`` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])


def read_positions(path: Path) -> Float[Tensor, " n"]:
    """Return the slice positions of such an npz."""
    with np.load(path, allow_pickle=False) as arrays:
        return torch.from_numpy(arrays["positions"])


def read_told(path: Path) -> dict[str, Float[Tensor, " n"]]:
    """Return what the network was told of each sample of such an npz, by name; nothing where it has no conditions."""
    with np.load(path, allow_pickle=False) as arrays:
        if "conditions" not in arrays:
            return {}
        columns = torch.from_numpy(arrays["conditions"]).T
        return dict(zip(arrays["condition_names"].tolist(), columns, strict=True))


def _parse_condition(word: str) -> tuple[str, float]:
    name, _, number = word.partition("=")
    try:
        return name.strip(), float(number)
    except ValueError:
        raise ConfigError(f"a condition must be NAME=NUMBER, e.g. volume=1200, but got {word!r}") from None
