"""One tracked run at a time: train it, open it again, sample and evaluate what it trained."""

import os
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbldm.errors import RunError
from sbldm.model import LatentDiffusion
from search.cache import Cache
from search.config import ExperimentConfig, build_config, override
from search.events import Event, ExperimentResult
from search.experiment import evaluate_model, run_experiment, train_stages
from search.locks import holding, try_hold
from search.recording import log_result, record_run
from search.sampling import Samples, sample_stage
from search.stages import Prepared, Trained, data_stage, recall_data
from search.tracking import MlflowStore, RunRecord
from search.training import recall_costs

LAST_SECONDS = 30.0


@dataclass(frozen=True, eq=False)
class OpenedRun:
    """A tracked run with its settings and its trained model."""

    record: RunRecord
    config: ExperimentConfig
    trained: Trained


def train_run(
    config: ExperimentConfig, *, name: str, cache: Cache, store: MlflowStore
) -> Generator[Event, None, tuple[str, ExperimentResult]]:
    """Train and evaluate one experiment as a tracked run, and return its id with the result."""
    with _living(name, cache, store) as run_id:
        result = yield from record_run(config, run_experiment(config, cache), store.tracker(run_id))
    return run_id, result


def help_train(config: ExperimentConfig, cache: Cache) -> Generator[Event, None, None]:
    """Take part in the training of ``train_run`` in another process; the first alone evaluates."""
    prepared = yield from data_stage(config, cache)
    yield from train_stages(config, prepared.data, cache)


def open_run(prefix: str, *, cache: Cache, store: MlflowStore, changes: Mapping[str, Any] | None = None) -> OpenedRun:
    """Return a finished run; its model comes from the cache, or from the tracker where the cache is gone.

    Args:
        prefix: the run's id or its unique beginning.
        cache: of stage outputs.
        store: where the run is tracked.
        changes: settings to change, such as where the data now lie.

    Raises:
        RunError: no such run, or it holds no model.
    """
    record = store.find(prefix)
    config = build_config(store.document(record.run_id, "config.json"))
    config = override(config, changes or {})
    if "sbldm.network" not in record.tags:
        raise RunError(f"run {record.run_id[:8]} ({record.name}) holds no model: it is {record.status}")
    costs = recall_costs(record.metrics)
    network, codec, untrained = (record.tags[f"sbldm.{name}"] for name in ("network", "autoencoder", "untrained"))
    model, directory = _load_model(record, network, cache, store)
    return OpenedRun(record, config, Trained(model, directory, network, codec, untrained, costs))


def sample_run(
    run: OpenedRun,
    count: int,
    *,
    seed: int,
    cache: Cache,
    conditions: Mapping[str, float] | None = None,
    guidance: float = 0.0,
) -> Generator[Event, None, Samples]:
    """Return new slices of a run's model, by the run's own sampler, under conditions where some are given."""
    return (
        yield from sample_stage(
            run.trained.model,
            run.trained.digest,
            sampler=run.config.sampler,
            count=count,
            seed=seed,
            batch=run.config.evaluation.batch,
            cache=cache,
            device=run.config.device,
            conditions=conditions,
            guidance=guidance,
        )
    )


def evaluate_run(run: OpenedRun, *, cache: Cache, store: MlflowStore) -> Generator[Event, None, ExperimentResult]:
    """Measure a run's model, and add what is found to the run."""
    prepared = yield from find_data(run, cache)
    result = yield from evaluate_model(run.config, prepared, run.trained, cache)
    tracker = store.tracker(run.record.run_id)
    log_result(result, tracker, steps=run.config.training.steps)
    tracker.finish("FINISHED")
    return result


@contextmanager
def _living(name: str, cache: Cache, store: MlflowStore) -> Iterator[str]:
    """Open a run whose lock shows that its process lives; say of runs whose process has died that they were killed."""
    folder = cache.root / "running"
    store.catch_up()
    with holding(folder / "all"):
        for path in folder.glob("*.lock"):
            _bury(path, store)
        run_id = store.start(name, kind="run")
        descriptor = try_hold(folder / f"{run_id}.lock")
    assert descriptor is not None, "no other process knows this new run"
    try:
        yield run_id
    finally:
        store.settle(LAST_SECONDS)
        (folder / f"{run_id}.lock").unlink(missing_ok=True)
        os.close(descriptor)


def _bury(lock: Path, store: MlflowStore) -> None:
    descriptor = try_hold(lock)
    if descriptor is None:
        return
    if store.holds(lock.stem):  # it may belong to another store
        store.close_abandoned([lock.stem])
        lock.unlink()
    os.close(descriptor)


def find_data(run: OpenedRun, cache: Cache) -> Generator[Event, None, Prepared]:
    """Return the slices a run was trained with, from the cache or made anew; another split is refused."""
    prepared = recall_data(run.record.tags["sbldm.data_entry"], cache)
    if prepared is None:
        prepared = yield from data_stage(run.config, cache)
    if prepared.data.split_digest != run.record.tags["sbldm.split"]:
        raise RunError(
            f"run {run.record.run_id[:8]} was trained on another split of the patients"
            f" ({run.record.tags['sbldm.split']}, now {prepared.data.split_digest});"
            " its test patients may have been trained on: give it the data it was trained with"
        )
    return prepared


def _load_model(record: RunRecord, digest: str, cache: Cache, store: MlflowStore) -> tuple[LatentDiffusion, Path]:
    entry = cache.entry("diffusion", digest)
    if entry.meta() is not None:
        return LatentDiffusion.load(entry.directory), entry.directory
    fetched = entry.directory / "fetched"
    with tempfile.TemporaryDirectory() as folder:
        LatentDiffusion.load(store.fetch(record.run_id, "model", Path(folder))).save(fetched)
    return LatentDiffusion.load(fetched), fetched
