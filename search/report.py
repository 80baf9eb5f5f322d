"""An experiment's page: what it came to, gathered from the cache, with no patient's name and no folder in it."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from evaluation import stand_alone
from evaluation.curve import DistanceCurve, distance_curve, draw_curve
from evaluation.page import ON_CURVE, Picture, Report, write_page
from sbldm.data import PreparedData
from sbldm.files import atomic_write, read_json, sha256, write_json
from sbldm.spec import digest_of
from search.cache import Cache, Entry
from search.config import PRIVATE, ExperimentConfig, flatten
from search.events import Event, ExperimentResult
from search.measure import Judge, to_images, whole_patients
from search.sampling import read_samples
from search.stages import cached, data_stage, recall_data
from search.training import LOSSES

PAGE, DOCUMENT = "report.html", "report.json"
CURVE, DRAWING = "curve.json", "curve.png"
CAPTIONS = {
    "samples": "The first generated slices, none left out.",
    "error": "Where reconstructions of unseen patients err: absolute error per pixel, gray from 0 to 1.",
    "control": "What each sample was told against what its label map shows, with means of about equally many slices.",
    "copies_pixel": "The samples most like a training slice by pixels, each with the slice nearest to it.",
    "copies_lite0": "The samples most like a training slice by features, each with the slice nearest to it.",
}
CURVE_CAPTION = (
    "Plug-in Fréchet distance against the number of images on each side; the band spans random parts of the"
    " same images and is no interval."
)


@dataclass(frozen=True)
class ReportFiles:
    """Where the page and its twin for machines lie."""

    page: Path
    document: Path


def report_stage(
    config: ExperimentConfig,
    result: ExperimentResult,
    cache: Cache,
    *,
    title: str = "A latent diffusion model, measured",
    facts: Mapping[str, str] | None = None,
) -> Generator[Event, None, ReportFiles]:
    """Return the page of a finished experiment; features come from the cache where the experiment left them.

    Args:
        config: of the experiment.
        result: its numbers and pictures; a picture of a name without caption is shown under its name.
        cache: that the experiment used.
        title: heading of the page.
        facts: versions and the like.
    """
    curve = yield from _curve(config, result, cache)
    report = Report(
        title=title,
        results=result.results,
        pictures={name: Picture(path, CAPTIONS.get(name, name)) for name, path in result.pictures.items()},
        curve=curve,
        facts=gather_facts(facts or {})
        | _costs(result)
        | {f"digest of {name}": each for name, each in result.digests.items()},
        settings=config.public(),
        command=reproduce(config),
    )
    return (yield from page_stage(report, cache))


def page_stage(report: Report, cache: Cache) -> Generator[Event, None, ReportFiles]:
    """Return the page of a report, with its curve drawn; made once for what it says and shows."""
    pictures = {name: sha256(picture.path.read_bytes()) for name, picture in report.pictures.items()}

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        yield from ()
        shown = dict(report.pictures)
        if report.curve:
            shown[ON_CURVE] = Picture(draw_curve(report.curve, entry.directory / DRAWING), CURVE_CAPTION)
        whole = replace(report, pictures=shown)
        atomic_write(entry.directory / PAGE, write_page(whole).encode())
        write_json(entry.directory / DOCUMENT, whole.to_json())
        return {}

    entry, _ = yield from cached(cache, "report", digest_of([report.to_json(), pictures]), build)
    return ReportFiles(entry.directory / PAGE, entry.directory / DOCUMENT)


def reproduce(config: ExperimentConfig) -> str:
    """Return the command that makes these numbers again, with a word for every path that is not told."""
    hidden = [path for path, value in flatten(config.public()).items() if value == PRIVATE]
    words = ["sbldm train --config settings.json", *(f"--set {path}=..." for path in hidden)]
    return f"# save the settings below as settings.json\n{' '.join(words)}"


def gather_facts(facts: Mapping[str, str]) -> dict[str, str]:
    """Return facts with all versions of packages in one line."""
    versions = {name.removeprefix("version."): each for name, each in facts.items() if name.startswith("version.")}
    line = {"packages": ", ".join(f"{name} {version}" for name, version in versions.items())} if versions else {}
    return {name: each for name, each in facts.items() if not name.startswith("version.")} | line


def _curve(config: ExperimentConfig, result: ExperimentResult, cache: Cache) -> Generator[Event, None, DistanceCurve]:
    """Return the distance against n; results that share data and samples share it."""

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        judge, data = Judge(config.evaluation, cache), (yield from _data(config, result, cache))
        real = yield from judge.features(to_images(data.test))
        other = yield from judge.features(to_images(whole_patients(data.train, len(real))))
        generated = yield from judge.features(stand_alone(read_samples(result.samples)[0]))
        curve = distance_curve(real, generated, floor=(other, real))
        write_json(entry.directory / CURVE, curve.to_json())
        return {}

    digest = digest_of([config.evaluation.extractor, result.digests["data"], sha256(result.samples.read_bytes())])
    entry, _ = yield from cached(cache, "curve", digest, build)
    return DistanceCurve.from_json(read_json(entry.directory / CURVE))


def _data(config: ExperimentConfig, result: ExperimentResult, cache: Cache) -> Generator[Event, None, PreparedData]:
    prepared = recall_data(result.digests["data_entry"], cache)
    if prepared is None:
        prepared = yield from data_stage(config, cache)
    return prepared.data


def _costs(result: ExperimentResult) -> dict[str, str]:
    told = {name: value for name, value in result.numbers.items() if not name.startswith(LOSSES)}  # MLflow draws those
    return {name.removeprefix("cost/").replace("_", " "): f"{value:.4g}" for name, value in told.items()}
