"""The features of a run in a file, so that every statistic can be made again without the model or a GPU."""

from collections.abc import Generator
from pathlib import Path

from evaluation import stand_alone, write_features
from sbldm.data import PreparedData
from sbldm.files import atomic_write
from sbldm.spec import digest_of
from search.cache import Cache, Entry
from search.config import ExperimentConfig
from search.events import Event
from search.measure import Judge, to_images
from search.sampling import Samples
from search.stages import cached


def keep_features(
    config: ExperimentConfig, data: PreparedData, samples: Samples, cache: Cache
) -> Generator[Event, None, tuple[Path, ...]]:
    """Return one npz per extractor: rows of the test slices with their patients' numbers, rows of the samples."""
    first = Judge(config.evaluation, cache)
    judges = [judge for judge in (first, first.companion()) if judge is not None]

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        for judge in judges:
            real = yield from judge.features(to_images(data.test))
            generated = yield from judge.features(stand_alone(samples.images))
            atomic_write(entry.directory / f"{judge.spec.extractor}.npz", write_features(real, generated))
        return {}

    digest = digest_of(["kept", samples.path.parent.name, data.digest, *(judge.identity for judge in judges)])
    entry, _ = yield from cached(cache, "kept", digest, build)
    return tuple(entry.directory / f"{judge.spec.extractor}.npz" for judge in judges)
