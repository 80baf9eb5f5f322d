"""A finished benchmark in the tracker: one run, and below it one run per arm and fraction."""

import re

from search.config import flatten
from search.downstream.result import BenchmarkResult, scores_to_json
from search.downstream.spec import BenchmarkSpec
from search.provenance import environment
from search.tracking import Artifact, Document, MlflowStore, Params, Picture, Scalar, Tags

KIND, ARM_KIND = "benchmark", "benchmark_arm"
PREFIX, OF_RUN = "downstream", "benchmark"
OUTSIDE = "outside"


def record_benchmark(result: BenchmarkResult, spec: BenchmarkSpec, store: MlflowStore, *, name: str, of: str) -> str:
    """Track a benchmark whose audit holds, and return its id.

    Args:
        result: with its files.
        spec: its settings.
        store: where runs are tracked.
        name: of the run.
        of: id of the run whose generator was asked about, or ``outside``.
    """
    parent = store.start(name, kind=KIND, tags={"sbldm.of": of})
    tracker = store.tracker(parent)
    tracker.log(Params(flatten(spec.model_dump(mode="json"))))
    tracker.log(Tags(environment()))
    for path in result.files:
        tracker.log(Picture(path.stem, path) if path.suffix == ".png" else Artifact(path, KIND))
    for arm, fraction in result.conclusion.means:
        _record_arm(result, store, parent, arm, fraction)
    tracker.finish("FINISHED")
    if of != OUTSIDE:
        _tell_run(result, store, parent, of)
    return parent


def metric_name(name: str, prefix: str = PREFIX) -> str:
    """Return a name that the tracker takes, such as ``downstream/dice/white_matter``."""
    return f"{prefix}/{re.sub(r'[^A-Za-z0-9_./ -]', '_', name)}"


def _tell_run(result: BenchmarkResult, store: MlflowStore, benchmark: str, run_id: str) -> None:
    """Put the gains beside the run's other metrics, and say which benchmark found them."""
    for name, value in result.conclusion.headline.items():
        store.keep(run_id, Scalar(metric_name(name, OF_RUN), value))
    store.keep(run_id, Tags({"sbldm.benchmark": benchmark}))


def _record_arm(result: BenchmarkResult, store: MlflowStore, parent: str, arm: str, fraction: float) -> None:
    tags = {"sbldm.arm": arm, "sbldm.fraction": f"{fraction:g}"}
    tracker = store.tracker(store.start(f"{arm} at {100 * fraction:g} %", kind=ARM_KIND, parent=parent, tags=tags))
    for name, value in result.conclusion.means[arm, fraction].items():
        if value == value:
            tracker.log(Scalar(metric_name(name), value))
    mine = tuple(score for score in result.scores if (score.arm, score.fraction) == (arm, fraction))
    tracker.log(Document("scores.json", {"scores": scores_to_json(mine)}))
    tracker.finish("FINISHED")
