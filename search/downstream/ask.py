"""The benchmark as the command line asks for it; what is left out takes its default."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from evaluation.segmentation.arms import find_arm
from evaluation.segmentation.settings import SegmenterSettings, quick_settings
from sbldm.errors import ConfigError
from search.cache import Cache
from search.config import ExperimentConfig
from search.downstream.conclude import conclude
from search.downstream.of_files import benchmark_files
from search.downstream.of_run import benchmark_run
from search.downstream.result import describe_benchmark
from search.downstream.segmenters import Segmenters
from search.downstream.spec import BenchmarkSpec
from search.image_folder import Reading
from search.progress import follow
from search.runs import open_run
from search.tracking import MlflowStore

LOOKS = 4
"""At the validation patients, where the steps alone are given."""
T = TypeVar("T", bound=BaseModel)


def choose_spec(**asked: Any) -> BenchmarkSpec:
    """Return the benchmark of these settings.

    Raises:
        ConfigError: an arm is unknown, or a value breaks a rule.
    """
    for name in asked.get("arms") or ():
        try:
            find_arm(name)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    return _build(BenchmarkSpec, asked)


def choose_segmenters(
    spec: BenchmarkSpec, *, preset: str, encoder_weights: Path | None = None, **asked: Any
) -> Segmenters:
    """Return the segmenters of these settings, whose batches hold as much synthetic as the benchmark asks for.

    Args:
        spec: of the benchmark.
        preset: ``quick`` lays the settings over `quick_settings`, any other over the defaults.
        encoder_weights: local state dict.
        asked: fields of `SegmenterSettings`; another network comes with its own depth and widths.

    Raises:
        ConfigError: a value breaks a rule.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    base = quick_settings().model_dump() if preset == "quick" else {}
    if {"architecture", "encoder"} & set(given):
        base = {name: value for name, value in base.items() if name not in ("depth", "decoder_channels")}
    steps = given.get("steps")
    looks = {"validate_every": max(1, steps // LOOKS)} if isinstance(steps, int) and steps > 0 else {}
    settings = base | looks | given | {"encoder_weights": encoder_weights, "ratio": spec.synthetic_ratio}
    return Segmenters(_build(SegmenterSettings, settings), lesions=spec.lesions)


def ask_run(
    run_id: str,
    changes: Mapping[str, Any],
    spec: BenchmarkSpec,
    segmenters: Segmenters,
    *,
    cache: Cache,
    store: MlflowStore,
    form: str,
) -> str:
    """Run the benchmark of a tracked run, and return what it came to in this form."""
    run = open_run(run_id, cache=cache, store=store, changes=changes)
    asked = benchmark_run(run, spec, segmentation=segmenters, conclude=conclude, cache=cache, store=store)
    return describe_benchmark(follow(asked)[1], form)


def ask_files(
    synthetic: Path,
    real: str,
    reading: Reading,
    spec: BenchmarkSpec,
    segmenters: Segmenters,
    *,
    config: ExperimentConfig,
    cache: Cache,
    store: MlflowStore,
    form: str,
) -> str:
    """Run the benchmark of any generator's files, and return what it came to in this form."""
    asked = benchmark_files(
        synthetic,
        real,
        spec,
        config=config,
        reading=reading,
        segmentation=segmenters,
        conclude=conclude,
        cache=cache,
        store=store,
    )
    return describe_benchmark(follow(asked)[1], form)


def _build(kind: Callable[..., T], asked: dict[str, Any]) -> T:
    given = {
        name: tuple(value) if isinstance(value, list) else value for name, value in asked.items() if value is not None
    }
    try:
        return kind(**given)
    except ValidationError as error:
        told = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}" for each in error.errors()
        ]
        raise ConfigError("; ".join(told)) from None
