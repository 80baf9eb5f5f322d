"""A measurement as the command line asks for it: run with its progress told, its report kept, in words or JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.cache import Cache
from search.config import ExperimentConfig
from search.image_folder import Reading
from search.inspect import describe_outside, describe_result, keep_report
from search.outside import evaluate_outside
from search.progress import follow
from search.provenance import environment
from search.runs import evaluate_run, open_run
from search.tracking import MlflowStore


def measure_outside(
    generated: Path,
    real: str,
    readings: tuple[Reading, Reading],
    *,
    config: ExperimentConfig,
    cache: Cache,
    out: Path | None,
    as_json: bool,
) -> str:
    """Measure any generator's images against real ones; ``readings`` say how to read the former and the latter."""
    asked = evaluate_outside(
        generated,
        real,
        config=config,
        cache=cache,
        generated_reading=readings[0],
        real_reading=readings[1],
        facts=environment(),
    )
    outside = follow(asked)
    page = keep_report(outside.files.page, out or Path("report.html"))
    return describe_outside(outside, page, as_json=as_json)


def measure_run(
    run_id: str, changes: Mapping[str, Any], *, cache: Cache, store: MlflowStore, out: Path | None, as_json: bool
) -> str:
    """Measure a tracked run's model once more, and add what is found to the run."""
    run = open_run(run_id, cache=cache, store=store, changes=changes)
    result = follow(evaluate_run(run, cache=cache, store=store))
    copied = keep_report(result.files["report"][0], out) if out else None
    return describe_result(run.record.run_id, result, copied, as_json=as_json, tracked=run.record.metrics)
