"""Do samples show what the network was told? Requested numbers against those measured on label maps."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from evaluation import MetricResult
from evaluation.control_plot import Panel, draw_control
from evaluation.controllability import FEWEST, controllability, withhold_control
from evaluation.intervals import mean_interval
from sbldm.data import PreparedData, Shown, SourceSpec
from sbldm.files import read_json, write_json
from sbldm.spec import digest_of
from search.cache import Cache, Entry
from search.config import ExperimentConfig
from search.events import Event
from search.label_yardsticks import reconstruct_labels
from search.sampling import Samples, read_positions
from search.stages import Trained, cached

FILE, DRAWING = "control.json", "control.png"
UNSEEN = "label maps do not show it"
SIDES = {"eval": "generated", "floor": "real test slices", "reconstruction": "reconstructions"}


@dataclass(frozen=True)
class Controlled:
    """Results under their tracked names, and a picture of them; both empty without conditions."""

    results: dict[str, MetricResult]
    pictures: dict[str, Path]


@dataclass(frozen=True, eq=False)
class ToldSlices:
    """Label maps with what each was to show; without ``owners`` each slice stands for itself."""

    labels: UInt8[Tensor, "n h w"]
    positions: Float[Tensor, " n"]
    requested: Mapping[str, Float[Tensor, " n"]] = field(default_factory=dict)
    owners: Int64[Tensor, " n"] | None = None


@dataclass(frozen=True, eq=False)
class _Pairs:
    requested: Float64[np.ndarray, " m"]
    realized: Float64[np.ndarray, " m"]
    owners: Int64[np.ndarray, " m"] | None
    how: str


def measure_control(
    config: ExperimentConfig, data: PreparedData, trained: Trained, samples: Samples, cache: Cache
) -> Generator[Event, None, Controlled]:
    """Return ``control_*`` of the samples (``eval/``), of real test slices (``floor/``) and of their reconstructions.

    Real slices say how much a single slice can tell of a whole patient at all, reconstructions what the autoencoder
    alone loses. A number that label maps do not show is named in words, without a value.
    """
    if not samples.conditions or data.test.conditions is None:
        return Controlled({}, {})
    level = config.evaluation.level

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        yield from ()
        sides = _gather(data, trained, samples)
        results, panels = compare_sides(config.data, sides, data.test.condition_names, level=level)
        write_json(entry.directory / FILE, {name: each.to_json() for name, each in results.items()})
        if panels:
            draw_control(panels, entry.directory / DRAWING)
        return {}

    digest = digest_of(["control", samples.path.parent.name, data.digest, trained.codec_digest, level])
    entry, _ = yield from cached(cache, "control", digest, build)
    found = {name: MetricResult.from_json(value) for name, value in read_json(entry.directory / FILE).items()}
    drawn = entry.directory / DRAWING
    return Controlled(found, {"control": drawn} if drawn.exists() else {})


def compare_sides(
    source: SourceSpec, sides: Mapping[str, ToldSlices], names: tuple[str, ...], *, level: float
) -> tuple[dict[str, MetricResult], tuple[Panel, ...]]:
    """Return the results of each side under its tracked names, and what is to be drawn of them."""
    shown = {side: source.measure(slices.labels, slices.positions) for side, slices in sides.items()}
    results: dict[str, MetricResult] = {}
    panels: list[Panel] = []
    for name in names:
        pairs = {side: _pair(slices, shown[side].get(name), name) for side, slices in sides.items()}
        for side, each in pairs.items():
            results |= {f"{side}/{found.name}": found for found in _judge(name, side, each, level)}
        drawn = {SIDES[side]: (each.requested, each.realized) for side, each in pairs.items() if each}
        if drawn:
            panels.append(Panel(name, shown["eval"][name].unit, drawn))
    return results, tuple(panels)


def describe_samples(config: ExperimentConfig, samples: Samples, asked: Mapping[str, float]) -> tuple[str, ...]:
    """Return a line for each number that all samples were asked to show; nothing where none was."""
    slices = ToldSlices(samples.labels, read_positions(samples.path))
    return describe_request(config.data, slices, asked, level=config.evaluation.level) if asked else ()


def describe_request(
    source: SourceSpec, slices: ToldSlices, asked: Mapping[str, float], *, level: float
) -> tuple[str, ...]:
    """Return for each number asked for what the label maps show of it, averaged over slices, in one line."""
    shown = source.measure(slices.labels, slices.positions)
    return tuple(_line(name, value, shown.get(name), slices.owners, level) for name, value in asked.items())


def _line(name: str, value: float, shown: Shown | None, owners: Int64[Tensor, " n"] | None, level: float) -> str:
    if shown is None:
        return f"{name}: asked for {value:g}; {UNSEEN}"
    known = ~shown.values.isnan()
    values = shown.values[known].double().numpy()
    words = f"{name}: asked for {value:g} {shown.unit}"
    if not len(values):
        return f"{words}; no slice shows any"
    groups = (torch.arange(len(known)) if owners is None else owners)[known].numpy()
    limits = mean_interval(values, groups, level=level) if len(np.unique(groups)) > 1 else None
    ends = f" [{limits.low:.4g}, {limits.high:.4g}]" if limits else ""
    return f"{words}; {len(values)} slices show {values.mean():.4g}{ends} on average"


def _gather(data: PreparedData, trained: Trained, samples: Samples) -> dict[str, ToldSlices]:
    test = data.test
    assert test.conditions is not None, "measured only where there are conditions"
    asked = dict(zip(test.conditions.names, test.conditions.values.T, strict=True))
    rebuilt = reconstruct_labels(trained.model.codec, test)
    return {
        "eval": ToldSlices(samples.labels, read_positions(samples.path), samples.conditions),
        "floor": ToldSlices(test.labels, test.positions, asked, test.subjects),
        "reconstruction": ToldSlices(rebuilt, test.positions, asked, test.subjects),
    }


def _pair(slices: ToldSlices, shown: Shown | None, name: str) -> _Pairs | None:
    """Return the numbers of those slices that have both; None where label maps do not show them."""
    if shown is None:
        return None
    known = ~(slices.requested[name].isnan() | shown.values.isnan())
    asked, found = (side[known].double().numpy() for side in (slices.requested[name], shown.values))
    return _Pairs(asked, found, None if slices.owners is None else slices.owners[known].numpy(), shown.how)


def _judge(name: str, side: str, pairs: _Pairs | None, level: float) -> tuple[MetricResult, ...]:
    """Return the numbers, or in words why there are none; of yardsticks that cannot be measured nothing is said."""
    reason = UNSEEN
    if pairs is not None:
        count = len(pairs.requested)
        if count >= FEWEST and (pairs.owners is None or len(np.unique(pairs.owners)) > 1):
            return controllability(
                pairs.requested, pairs.realized, groups=pairs.owners, of=name, note=pairs.how, level=level
            )
        reason = f"only {count} slices show it"
    return (withhold_control(name, reason, level=level),) if side == "eval" else ()
