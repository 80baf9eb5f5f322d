"""What runs cost: hours of training by device, sampling, memory; a stage that several runs share counts once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from search.tracking import RunRecord

HOUR, GIB = 3600, 2**30
HOURS = {"cpu_seconds": "cost/cpu_hours", "gpu_seconds": "cost/gpu_hours", "train_seconds": "cost/hours"}
"""Columns by what is tracked; hours whose device an older run has not noted stand apart."""
PER_IMAGE = ("schedule/alpha_bar_T", "cost/seconds_per_image", "cost/network_calls")
TRAININGS = {"network": "cost/", "autoencoder": "cost/autoencoder_"}
NOTE = (
    "Hours are wall time of both trainings by device, from nothing: a stage found in the cache counts what it cost when"
    " it was made. A row is the mean of its seeds, a total counts a stage that trials share once."
)


@dataclass(frozen=True)
class Draw:
    """One set of samples: what all its images took."""

    seconds: float
    calls: float


@dataclass(frozen=True)
class Spent:
    """What some runs cost together, each stage under the digest that names it, so that it counts once.

    Attributes:
        networks: hours of training by column.
        autoencoders: the same.
        draws: of samples, where their number is known.
        peak_bytes: the most memory any training took; 0 where none noted it.
    """

    networks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    autoencoders: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    draws: Mapping[str, Draw] = field(default_factory=dict)
    peak_bytes: float = 0.0

    def totals(self) -> dict[str, float]:
        """Return hours by column, and the peak memory."""
        stages = [*self.networks.values(), *self.autoencoders.values()]
        hours = {name: sum(each.get(name, 0.0) for each in stages) for name in HOURS.values()}
        return {name: value for name, value in hours.items() if value} | _peak(self.peak_bytes)

    def words(self) -> str:
        """Return what was trained and drawn, in one sentence."""
        trained = f"{_count(self.networks, 'network')} and {_count(self.autoencoders, 'autoencoder')} were trained"
        calls = sum(each.calls for each in self.draws.values())
        hours = sum(each.seconds for each in self.draws.values()) / HOUR
        drawn = f"; {_count(self.draws, 'set')} of samples took {calls:.4g} network calls, {hours:.3g} h"
        return f"In all {trained}{drawn if self.draws else ''}."

    def to_json(self) -> dict[str, Any]:
        """Return totals and counts."""
        return {
            **self.totals(),
            "networks": len(self.networks),
            "autoencoders": len(self.autoencoders),
            "sample_sets": len(self.draws),
            "network_calls": sum(each.calls for each in self.draws.values()),
            "sampling_hours": sum(each.seconds for each in self.draws.values()) / HOUR,
        }


def add_spent(parts: Iterable[Spent]) -> Spent:
    """Return what all cost together; what two share counts once."""
    whole = Spent()
    for part in parts:
        whole = Spent(
            {**whole.networks, **part.networks},
            {**whole.autoencoders, **part.autoencoders},
            {**whole.draws, **part.draws},
            max(whole.peak_bytes, part.peak_bytes),
        )
    return whole


def count_spent(runs: Sequence[RunRecord], images: int | None) -> Spent:
    """Return what these runs cost together.

    Args:
        runs: finished trials; an older one that names no stage counts as a stage of its own.
        images: drawn by each run, where known.
    """
    return add_spent(
        Spent(
            {run.tags.get("sbldm.network", run.run_id): _hours(run.metrics, TRAININGS["network"])},
            {run.tags.get("sbldm.autoencoder", run.run_id): _hours(run.metrics, TRAININGS["autoencoder"])},
            _draw(run, images),
            _peak_bytes(run.metrics),
        )
        for run in runs
    )


def average_costs(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return what a setting cost, the mean over the metrics of its seeds; what an older run lacks is left out."""
    found = {
        name: float(np.mean([run[name] for run in runs])) for name in PER_IMAGE if all(name in run for run in runs)
    }
    parts = [[_hours(run, prefix) for prefix in TRAININGS.values()] for run in runs]
    for name in HOURS.values():
        hours = [sum(part.get(name, 0.0) for part in both) for both in parts]
        if any(hours):
            found[name] = float(np.mean(hours))
    return found | _peak(max(map(_peak_bytes, runs)))


def _hours(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    """Return a training's hours by column: by device where that was noted."""
    known = {name: metrics[prefix + name] / HOUR for name in HOURS if prefix + name in metrics}
    if len(known) > 1:
        known.pop("train_seconds", None)
    return {HOURS[name]: value for name, value in known.items()}


def _draw(run: RunRecord, images: int | None) -> dict[str, Draw]:
    needed = ("cost/seconds_per_image", "cost/network_calls")
    if images is None or not all(name in run.metrics for name in needed):
        return {}
    seconds, calls = (run.metrics[name] * images for name in needed)
    return {run.tags.get("sbldm.samples", run.run_id): Draw(seconds, calls)}


def _peak_bytes(metrics: Mapping[str, float]) -> float:
    ends = [name for name in metrics if name.startswith("cost/") and name.endswith("peak_memory_bytes")]
    return max((metrics[name] for name in ends), default=0.0)


def _peak(peak_bytes: float) -> dict[str, float]:
    return {"cost/peak_gib": peak_bytes / GIB} if peak_bytes else {}


def _count(stages: Mapping[str, Any], word: str) -> str:
    return f"{len(stages)} {word}{'' if len(stages) == 1 else 's'}"
