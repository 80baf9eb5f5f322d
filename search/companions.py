"""What stands beside a distance, for one number misleads: a second extractor, diversity, copies, early stops."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from evaluation import ImageSet, MetricResult, diversity, perceptual_distance, stand_alone
from sbldm.data import PreparedData
from sbldm.diffusion.samplers import Adaptive
from sbldm.files import read_json, write_json
from sbldm.spec import digest_of
from search.audit import audit_stage
from search.cache import Cache, Entry
from search.config import ExperimentConfig
from search.control import measure_control
from search.early_stop_pairs import MEASURES, StoppedPairs, compare_early_stops, name_numbers, name_results
from search.events import Event
from search.label_yardsticks import measure_labels
from search.measure import Judge, to_images
from search.sampling import Samples
from search.stages import Trained, cached

FILE = "diversity.json"
FEWEST = 3  # patients of which two may be drawn with one left out


@dataclass(frozen=True)
class Companions:
    """Results and numbers under their tracked names, pictures of suspicious pairs, constraints a search may keep."""

    results: dict[str, MetricResult]
    numbers: dict[str, float]
    pictures: dict[str, Path]


def measure_companions(
    config: ExperimentConfig, data: PreparedData, trained: Trained, samples: Samples, judge: Judge, cache: Cache
) -> Generator[Event, None, Companions]:
    """Return what else is to be known of these samples."""
    results: dict[str, MetricResult] = {}
    second = judge.companion()
    if second is not None:
        real = yield from second.features(to_images(data.test))
        measured = yield from second.generated(real, samples.images)
        results |= {f"eval/{result.name}": result for result in measured}
    results |= yield from _diversity(config, data, samples, cache)
    results |= yield from measure_labels(config, data, trained, samples, cache)
    controlled = yield from measure_control(config, data, trained, samples, cache)
    audited = yield from audit_stage(config, data, samples, judge, cache)
    stopped = yield from _early_stops(config, trained, cache)
    return Companions(
        results=results | controlled.results | audited.results | name_results(stopped),
        numbers=name_numbers(stopped)
        | {f"constraint/copies_{space}": value for space, value in audited.constraints.items()},
        pictures=controlled.pictures | audited.pictures,
    )


def _early_stops(
    config: ExperimentConfig, trained: Trained, cache: Cache
) -> Generator[Event, None, tuple[StoppedPairs, ...]]:
    """Compare samples that stop early with what they would have become; nothing where none stops early."""
    if not isinstance(config.sampler, Adaptive) or config.sampler.threshold == 0:
        return ()
    seen = (perceptual_distance,) if config.evaluation.extractor == "lite0" else ()
    return (
        yield from compare_early_stops(
            trained.model,
            trained.digest,
            sampler=config.sampler,
            count=config.evaluation.samples,
            seed=config.seed,
            batch=config.evaluation.batch,
            cache=cache,
            thresholds=(config.sampler.threshold,),
            measures=(*MEASURES, *seen),
            level=config.evaluation.level,
            device=config.device,
        )
    )


def _diversity(
    config: ExperimentConfig, data: PreparedData, samples: Samples, cache: Cache
) -> Generator[Event, None, dict[str, MetricResult]]:
    """Return how alike samples are to each other, and how alike real test patients are, which all samples share."""
    sets = {
        "eval": (stand_alone(samples.images), samples.path.parent.name),
        "floor": (to_images(data.test), data.digest),
    }
    results = {}
    for kind, (images, name) in sets.items():
        if images.patients >= FEWEST:
            found = yield from _diversity_of(images, name, config.evaluation.level, cache)
            results[f"{kind}/{found.name}"] = found
    return results


def _diversity_of(images: ImageSet, name: str, level: float, cache: Cache) -> Generator[Event, None, MetricResult]:
    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        yield from ()
        write_json(entry.directory / FILE, diversity(images, level=level).to_json())
        return {}

    entry, _ = yield from cached(cache, "diversity", digest_of(["diversity of", name, level]), build)
    return MetricResult.from_json(read_json(entry.directory / FILE))
