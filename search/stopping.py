"""Early-stopped samples without walks of their own: one full walk is kept, and every rule takes its samples from it."""

import io
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sbldm.diffusion import SamplerSpec, Trajectory
from sbldm.diffusion.samplers import Adaptive
from sbldm.files import atomic_write, read_json, write_json
from sbldm.model import GeneratedBatch, LatentDiffusion, WalkedBatch, full_walk, stop_walked, walk
from sbldm.spec import digest_of
from sbldm.training import choose_device
from search.cache import Cache, Entry
from search.events import Event, Progress
from search.sampling import Samples, digest_samples, keep_samples
from search.stages import cached

FACTS = "walk.json"
NEVER = 0.0


def stopped_stage(
    model: LatentDiffusion,
    model_digest: str,
    *,
    sampler: SamplerSpec,
    rule: Adaptive,
    count: int,
    seed: int,
    batch: int,
    cache: Cache,
    device: str = "auto",
) -> Generator[Event, None, Samples]:
    """Return samples 0 to count - 1 of a rule, or of the full walk where ``sampler`` is the rule's inner one.

    They are those of ``sample_stage`` up to rounding, under the same name in the cache; a hundred thresholds cost one
    walk. Their seconds per image are told from those of the walk's steps.
    """
    digest = digest_samples(model_digest, sampler, count, seed)
    stopping = sampler.stopping or replace(rule.stopping, threshold=NEVER)

    def draw() -> Generator[Event, None, list[GeneratedBatch]]:
        placed = model.to(choose_device(device))  # type: ignore[arg-type]
        parts = yield from _walk_stage(
            placed, model_digest, rule=rule, count=count, seed=seed, batch=batch, cache=cache
        )
        return [stop_walked(placed, part, stopping) for part in parts]

    return (yield from keep_samples(draw, digest, model.spec.conditions, cache))


def _walk_stage(
    model: LatentDiffusion, model_digest: str, *, rule: Adaptive, count: int, seed: int, batch: int, cache: Cache
) -> Generator[Event, None, list[WalkedBatch]]:
    """Return a full walk from the first level where this rule lets samples stop; all thresholds share it."""
    settings = [full_walk(rule).model_dump(mode="json"), rule.snr_min]
    digest = digest_of([model_digest, *settings, count, seed])

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        parts = []
        for part in walk(model, count, rule=rule, seed=seed, batch=batch):
            parts.append(part)
            yield Progress("walk", part.first + len(part.positions), count)
        _write(entry.directory, parts)
        return {}

    entry, _ = yield from cached(cache, "walk", digest, build)
    return _read(entry.directory)


def _write(folder: Path, parts: list[WalkedBatch]) -> None:
    facts = []
    for part in parts:
        tensors = {name: value for name, value in asdict(part.trajectory).items() if isinstance(value, Tensor)}
        tensors |= {"positions": part.positions} | ({} if part.conditions is None else {"conditions": part.conditions})
        content = io.BytesIO()
        arrays: dict[str, Any] = {name: value.numpy() for name, value in tensors.items()}
        np.savez(content, **arrays)  # and no safetensors, in which this project lets nothing be infinite or unknown
        atomic_write(folder / f"walk-{part.first}.npz", content.getvalue())
        facts.append(
            {
                "first": part.first,
                "skipped": part.skipped,
                "seconds": part.seconds,
                "levels": part.trajectory.levels,
            }
        )
    write_json(folder / FACTS, facts)


def _read(folder: Path) -> list[WalkedBatch]:
    parts = []
    for facts in read_json(folder / FACTS):
        with np.load(folder / f"walk-{facts['first']}.npz", allow_pickle=False) as arrays:
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        positions, conditions = tensors.pop("positions"), tensors.pop("conditions", None)
        trajectory = Trajectory(levels=tuple(facts["levels"]), **tensors)
        parts.append(
            WalkedBatch(trajectory, facts["skipped"], tuple(facts["seconds"]), positions, facts["first"], conditions)
        )
    return parts
