"""One training inside its stage of the cache: watched on validation patients, and what it costs booked."""

from collections.abc import Generator, Mapping
from typing import Any

import torch

from sbldm.data import SliceSet
from sbldm.files import read_json, write_json
from sbldm.latent import LatentCodec, encode_latents
from sbldm.model import Conditioner
from sbldm.training import (
    CheckpointStore,
    Task,
    TrainingSpec,
    ValidationSet,
    Watch,
    choose_device,
    current_world,
    stack_cues,
    train,
)
from search.cache import Entry
from search.config import ExperimentConfig
from search.events import Event

BOOKED = 100
DEVICE_SECONDS = {"cpu": "cpu_seconds", "cuda": "gpu_seconds"}
"""Of training, by device: wall time, as often as there are joined processes, each with a device of its own."""
COSTS = (
    "train_seconds",
    "seconds_per_step",
    "seconds_per_epoch",
    "samples_per_second",
    "peak_memory_bytes",
    *DEVICE_SECONDS.values(),
)
LOSSES = "validation/"


def train_task(
    task: Task,
    spec: TrainingSpec,
    seed: int,
    entry: Entry,
    config: ExperimentConfig,
    *,
    count: int,
    watch: Watch | None = None,
) -> Generator[Event, None, dict[str, float]]:
    """Train, and return ``COSTS`` and the last validation losses by name.

    Costs are those of a training without interruption: steps made twice, or in an earlier process, are booked.
    Of joined processes the first alone books and validates, and the others get no numbers.

    Args:
        task: what is trained.
        spec: how long and how fast.
        seed: of the training.
        entry: where checkpoints and the book of costs lie.
        config: says on which device.
        count: slices of an epoch.
        watch: measures the averaged weights between steps, in time that is not booked.
    """
    store = CheckpointStore(entry.work / task.digest)  # settings that share an entry may yet differ in name
    ledger = entry.work / "costs.json"
    world, device = current_world(), choose_device(config.device)
    is_first = world.is_first
    steps, seconds, peak = read_json(ledger) if ledger.exists() else (0, 0.0, 0)
    try:
        for step in train(task, spec, seed=seed, store=store, device=device):
            steps, seconds, peak = steps + 1, seconds + step.seconds, max(peak, step.peak_memory_bytes)
            if step.step % BOOKED == 0:
                write_json(ledger, (steps, seconds, peak))
            yield step
            if watch and step.step in watch.due - {spec.steps}:
                yield watch.measure(task.averaged, task.stage, step.step, spec.steps)
    finally:
        if is_first:
            write_json(ledger, (steps, seconds, peak))
    costs = _costs(seconds / max(steps, 1), peak, spec, count)
    costs[DEVICE_SECONDS[device.type]] = costs["train_seconds"] * world.size
    if watch is None or not watch.due or not is_first:
        return costs
    last = watch.measure(task.averaged, task.stage, spec.steps, spec.steps)  # also where training was whole before
    yield last
    return costs | last.numbers()


def validation_set(codec: LatentCodec, slices: SliceSet, conditioner: Conditioner | None) -> ValidationSet:
    """Return the latents of validation slices with all that the network is told of them."""
    cues = stack_cues(slices.positions, slices.positions.new_zeros(len(slices)))
    if conditioner and slices.conditions:
        cues = torch.cat([cues, conditioner.encode(slices.conditions.values)], dim=1)
    return ValidationSet(encode_latents(codec, slices), cues, slices.subjects)


def track_costs(network: Mapping[str, Any], autoencoder: Mapping[str, Any]) -> dict[str, float]:
    """Return what both trainings recorded of themselves, by tracked name; what an older one lacks is left out."""
    found = {f"cost/{name}": network[name] for name in COSTS if name in network}
    found |= {f"cost/autoencoder_{name}": autoencoder[name] for name in COSTS if name in autoencoder}
    found |= {name: value for name, value in network.items() if name.startswith(LOSSES)}
    return {name: float(value) for name, value in found.items()}


def recall_costs(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the same from all that a run tracked."""
    known = {f"cost/{before}{name}" for name in COSTS for before in ("", "autoencoder_")}
    return {name: value for name, value in metrics.items() if name in known or name.startswith(LOSSES)}


def _costs(pace: float, peak: int, spec: TrainingSpec, count: int) -> dict[str, float]:
    return {
        "train_seconds": pace * spec.steps,
        "seconds_per_step": pace,
        "seconds_per_epoch": pace * count / spec.batch,
        "samples_per_second": spec.batch / pace if pace else 0.0,
        "peak_memory_bytes": peak,
    }
