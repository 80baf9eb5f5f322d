"""What generated slices are held against: real against real, and what the autoencoder alone loses."""

from collections.abc import Generator
from pathlib import Path

from evaluation import MetricResult, draw_error_map, draw_grid, error_map, stand_alone
from sbldm.data import PreparedData
from sbldm.files import read_json, write_json
from sbldm.latent import LatentCodec
from sbldm.spec import digest_of
from search.cache import Cache, Entry
from search.config import ExperimentConfig
from search.events import Event
from search.measure import Judge, reconstruct, to_images
from search.sampling import Samples
from search.stages import Trained, cached

GRID = 64
WORST = 4
FILE = "yardsticks.json"
SAMPLES, ERRORS = "samples.png", "reconstruction_error.png"


def rebuild(
    config: ExperimentConfig, data: PreparedData, codec: LatentCodec, codec_digest: str, judge: Judge, cache: Cache
) -> Generator[Event, None, dict[str, MetricResult]]:
    """Return the metrics of reconstructions and the noise floor; all trials with one autoencoder share them."""

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        truth, rebuilt = to_images(data.test), reconstruct(codec, data.test)
        real = yield from judge.features(truth)
        found = {f"reconstruction/{result.name}": result for result in judge.reconstructions(truth, rebuilt)}
        distance = yield from judge.distance(real, rebuilt)
        floor = yield from judge.floor(data.train, real)
        found |= {f"reconstruction/{distance.name}": distance, f"floor/{floor.name}": floor}
        write_json(entry.directory / FILE, {name: result.to_json() for name, result in found.items()})
        return {}

    settings = config.evaluation.model_dump(mode="json", include={"extractor", "level", "lpips_weights"})
    digest = digest_of([codec_digest, data.digest, settings])
    entry, _ = yield from cached(cache, "yardsticks", digest, build)
    return {name: MetricResult.from_json(value) for name, value in read_json(entry.directory / FILE).items()}


def draw_pictures(
    config: ExperimentConfig, data: PreparedData, samples: Samples, trained: Trained, cache: Cache
) -> Generator[Event, None, dict[str, Path]]:
    """Draw samples, and the errors that all trials with one autoencoder share.

    Real slices are shown where the patients are phantoms or the user says so.
    """
    show_real = config.data.kind == "phantom" or config.evaluation.log_real_images

    def draw_samples(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        yield from ()
        draw_grid(stand_alone(samples.images[:GRID]), entry.directory / SAMPLES, title="Generated slices")
        return {}

    def draw_errors(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        yield from ()
        truth, rebuilt = to_images(data.test), reconstruct(trained.model.codec, data.test)
        errors = error_map(truth, rebuilt, worst=WORST if show_real else 0)
        title = "Reconstruction error, test patients"
        draw_error_map(errors, entry.directory / ERRORS, title=title, sides=("real", "reconstruction"))
        return {}

    drawn, _ = yield from cached(cache, "pictures", digest_of(["samples", samples.path.parent.name]), draw_samples)
    what = digest_of(["errors", trained.codec_digest, data.digest, show_real])
    erred, _ = yield from cached(cache, "pictures", what, draw_errors)
    return {"samples": drawn.directory / SAMPLES, "error": erred.directory / ERRORS}
