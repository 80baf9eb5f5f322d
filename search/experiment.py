"""From files to numbers: the one bridge between the model and the metrics."""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from evaluation import FeatureSet, MetricResult, stand_alone
from sbldm.data import PreparedData
from sbldm.diffusion.samplers import Adaptive
from sbldm.model import LatentDiffusion
from search.cache import Cache
from search.companions import measure_companions
from search.config import ExperimentConfig
from search.events import Event, ExperimentResult
from search.keep import keep_features
from search.measure import Judge, to_images
from search.provenance import environment
from search.report import report_stage
from search.sampling import Samples, sample_stage
from search.selection import measure_selection
from search.stages import Prepared, Trained, codec_stage, data_stage, network_stage, untrained
from search.stopping import stopped_stage
from search.yardsticks import draw_pictures, rebuild


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
    samples = yield from _draw(config, trained.model, trained.digest, config.seed, cache)
    judge = Judge(config.evaluation, cache)
    real = yield from judge.features(to_images(data.test))
    measured = yield from judge.generated(real, samples.images)
    rebuilt = yield from rebuild(config, data, trained.model.codec, trained.codec_digest, judge, cache)
    chance = yield from _chance(config, data, trained, judge, real, cache)
    beside = yield from measure_companions(config, data, trained, samples, judge, cache)
    chosen_by = yield from measure_selection(data, samples, judge)
    named = {f"eval/{result.name}": result for result in measured}
    pictures = yield from draw_pictures(config, data, samples, trained, cache)
    result = ExperimentResult(
        results=named | rebuilt | {f"untrained/{chance.name}": chance} | beside.results | chosen_by,
        numbers=_numbers(config, trained, samples) | beside.numbers,
        digests={
            "data": data.digest,
            "split": data.split_digest,
            "data_entry": prepared.digest,
            "network": trained.digest,
            "autoencoder": trained.codec_digest,
            "untrained": trained.untrained_digest,
            "samples": samples.path.parent.name,
        },
        model=trained.directory,
        samples=samples.path,
        pictures=pictures | beside.pictures,
    )
    page = yield from report_stage(config, result, cache, facts=environment())
    features = yield from keep_features(config, data, samples, cache)
    return replace(result, files={"report": (page.page, page.document), "features": features})


def train_stages(config: ExperimentConfig, data: PreparedData, cache: Cache) -> Generator[Event, None, Trained]:
    """Return the trained model: first the autoencoder, then the network on its latents."""
    codec, digest = yield from codec_stage(config, data, cache)
    return (yield from network_stage(config, data, codec, digest, cache, conditioning=config.conditioning))


def _chance(
    config: ExperimentConfig, data: PreparedData, trained: Trained, judge: Judge, real: FeatureSet, cache: Cache
) -> Generator[Event, None, MetricResult]:
    """Return the distance that a network reaches which has learned nothing."""
    blank = untrained(config, data, trained.model)
    noise = yield from _draw(config, blank, trained.untrained_digest, 0, cache)
    return (yield from judge.distance(real, stand_alone(noise.images)))


def _draw(
    config: ExperimentConfig, model: LatentDiffusion, digest: str, seed: int, cache: Cache
) -> Generator[Event, None, Samples]:
    sampler, evaluation = config.sampler, config.evaluation
    settings: dict[str, Any] = {"sampler": sampler, "count": evaluation.samples, "seed": seed}
    settings |= {"batch": evaluation.batch, "cache": cache, "device": config.device}
    if isinstance(sampler, Adaptive):  # of which other thresholds, and the full walk, are asked too
        return (yield from stopped_stage(model, digest, rule=sampler, **settings))
    return (yield from sample_stage(model, digest, **settings))


def _numbers(config: ExperimentConfig, trained: Trained, samples: Samples) -> dict[str, float]:
    schedule = config.schedule.build()
    return trained.costs | {
        "schedule/alpha_bar_T": float(schedule.alpha_bar[-1]),
        "cost/seconds_per_image": samples.seconds_per_image,
        "cost/network_calls": samples.network_calls,
    }
