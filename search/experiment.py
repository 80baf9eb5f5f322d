"""From files to numbers: the one bridge between the model and the metrics."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from evaluation import ImageSet, MetricResult, draw_error_map, draw_grid, error_map, stand_alone
from sbldm.data import PreparedData
from sbldm.spec import digest_of
from search.cache import Cache, Entry
from search.config import ExperimentConfig
from search.events import Event, ExperimentResult
from search.measure import Judge, reconstruct, to_images
from search.sampling import Samples, sample_stage
from search.stages import Prepared, Trained, cached, codec_stage, data_stage, network_stage, untrained

GRID = 64
WORST = 4
Results = dict[str, MetricResult]


@dataclass(frozen=True, eq=False)
class _Yardsticks:
    """What the generated slices are held against, all the same for every trial of a study."""

    results: Results
    truth: ImageSet
    rebuilt: ImageSet


def run_experiment(config: ExperimentConfig, cache: Cache) -> Generator[Event, None, ExperimentResult]:
    """Yield what a watcher may know, and return the result; stages that are ready in the cache are not run again.

    The test patients are seen by the metrics alone.

    Raises:
        ConfigError, DataError, ResourceError, DivergedError: as their stage finds; finished stages stay cached.
    """
    prepared = yield from data_stage(config, cache)
    trained = yield from train_stages(config, prepared.data, cache)
    return (yield from evaluate_model(config, prepared, trained, cache))


def evaluate_model(
    config: ExperimentConfig, prepared: Prepared, trained: Trained, cache: Cache
) -> Generator[Event, None, ExperimentResult]:
    """Return every number of a trained model on the test patients."""
    data = prepared.data
    samples = yield from draw_samples(config, trained, cache)
    judge = Judge(config.evaluation, cache)
    real = yield from judge.features(to_images(data.test))
    yardsticks = yield from _yardsticks(config, data, trained, judge, cache)
    measured = yield from judge.generated(real, samples.images)
    results = {f"eval/{result.name}": result for result in measured} | yardsticks.results
    pictures = yield from _pictures(config, samples, yardsticks, trained, cache)
    return ExperimentResult(
        results=results,
        numbers=_numbers(config, trained, samples),
        digests={
            "data": data.digest,
            "split": data.split_digest,
            "data_entry": prepared.digest,
            "network": trained.digest,
            "untrained": trained.untrained_digest,
        },
        model=trained.directory,
        samples=samples.path,
        pictures=pictures,
    )


def train_stages(config: ExperimentConfig, data: PreparedData, cache: Cache) -> Generator[Event, None, Trained]:
    """Return the trained model: first the autoencoder, then the network on its latents."""
    codec, digest = yield from codec_stage(config, data, cache)
    return (yield from network_stage(config, data, codec, digest, cache))


def draw_samples(config: ExperimentConfig, trained: Trained, cache: Cache) -> Generator[Event, None, Samples]:
    """Return the slices that the evaluation looks at."""
    return (
        yield from sample_stage(
            trained.model,
            trained.digest,
            sampler=config.sampler,
            count=config.evaluation.samples,
            seed=config.seed,
            batch=config.evaluation.batch,
            cache=cache,
            device=config.device,
        )
    )


def _yardsticks(
    config: ExperimentConfig, data: PreparedData, trained: Trained, judge: Judge, cache: Cache
) -> Generator[Event, None, _Yardsticks]:
    """Measure reconstructions, real against real, and a network that has learned nothing."""
    truth, rebuilt = to_images(data.test), reconstruct(trained.model.codec, data.test)
    real = yield from judge.features(truth)
    named = {f"reconstruction/{result.name}": result for result in judge.reconstructions(truth, rebuilt)}
    distance = yield from judge.distance(real, rebuilt)
    floor = yield from judge.floor(data.train, real)
    blank = untrained(config, data, trained.model.codec)
    noise = yield from sample_stage(
        blank,
        trained.untrained_digest,
        sampler=config.sampler,
        count=config.evaluation.samples,
        seed=0,
        batch=config.evaluation.batch,
        cache=cache,
        device=config.device,
    )
    chance = yield from judge.distance(real, stand_alone(noise.images))
    named |= {
        f"reconstruction/{distance.name}": distance,
        f"floor/{floor.name}": floor,
        f"untrained/{chance.name}": chance,
    }
    return _Yardsticks(named, truth, rebuilt)


def _pictures(
    config: ExperimentConfig, samples: Samples, yardsticks: _Yardsticks, trained: Trained, cache: Cache
) -> Generator[Event, None, dict[str, Path]]:
    """Draw samples and errors; real slices are shown where the patients are phantoms or the user says so."""
    show_real = config.data.kind == "phantom" or config.evaluation.log_real_images
    names = {"samples": "samples.png", "error": "reconstruction_error.png"}

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        yield from ()
        draw_grid(stand_alone(samples.images[:GRID]), entry.directory / names["samples"], title="Generated slices")
        errors = error_map(yardsticks.truth, yardsticks.rebuilt, worst=WORST if show_real else 0)
        draw_error_map(errors, entry.directory / names["error"], title="Reconstruction error, test patients")
        return {}

    digest = digest_of([samples.path.parent.name, trained.digest, show_real])
    entry, _ = yield from cached(cache, "pictures", digest, build)
    return {name: entry.directory / file for name, file in names.items()}


def _numbers(config: ExperimentConfig, trained: Trained, samples: Samples) -> dict[str, float]:
    schedule = config.schedule.build()
    return {
        "schedule/alpha_bar_T": float(schedule.alpha_bar[-1]),
        "cost/train_seconds": trained.costs["train_seconds"],
        "cost/seconds_per_step": trained.costs["seconds_per_step"],
        "cost/peak_memory_bytes": trained.costs["peak_memory_bytes"],
        "cost/seconds_per_image": samples.seconds_per_image,
        "cost/network_calls": samples.network_calls,
    }
