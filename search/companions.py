"""What stands beside a distance, for one number misleads: a second extractor, diversity, and the search for copies."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from evaluation import ImageSet, MetricResult, diversity, stand_alone
from sbldm.data import PreparedData
from sbldm.files import read_json, write_json
from sbldm.spec import digest_of
from search.audit import audit_stage
from search.cache import Cache, Entry
from search.config import ExperimentConfig
from search.events import Event
from search.measure import Judge, to_images
from search.sampling import Samples
from search.stages import cached

FILE = "diversity.json"
FEWEST = 3  # patients of which two may be drawn with one left out


@dataclass(frozen=True)
class Companions:
    """Results under their tracked names, pictures of suspicious pairs, and constraints a search may keep."""

    results: dict[str, MetricResult]
    pictures: dict[str, Path]
    constraints: dict[str, float]


def measure_companions(
    config: ExperimentConfig, data: PreparedData, samples: Samples, judge: Judge, cache: Cache
) -> Generator[Event, None, Companions]:
    """Return what else is to be known of these samples."""
    results: dict[str, MetricResult] = {}
    second = judge.companion()
    if second is not None:
        real = yield from second.features(to_images(data.test))
        measured = yield from second.generated(real, samples.images)
        results |= {f"eval/{result.name}": result for result in measured}
    results |= yield from _diversity(config, data, samples, cache)
    audited = yield from audit_stage(config, data, samples, judge, cache)
    return Companions(results | audited.results, audited.pictures, audited.constraints)


def _diversity(
    config: ExperimentConfig, data: PreparedData, samples: Samples, cache: Cache
) -> Generator[Event, None, dict[str, MetricResult]]:
    """Return how alike samples are to each other, and how alike real test patients are."""
    sets: dict[str, ImageSet] = {"eval": stand_alone(samples.images), "floor": to_images(data.test)}
    measurable = {kind: images for kind, images in sets.items() if images.patients >= FEWEST}

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        yield from ()
        found = {kind: diversity(images, level=config.evaluation.level) for kind, images in measurable.items()}
        write_json(entry.directory / FILE, {f"{kind}/{each.name}": each.to_json() for kind, each in found.items()})
        return {}

    digest = digest_of(["diversity", samples.path.parent.name, data.digest, config.evaluation.level])
    entry, _ = yield from cached(cache, "diversity", digest, build)
    return {name: MetricResult.from_json(value) for name, value in read_json(entry.directory / FILE).items()}
