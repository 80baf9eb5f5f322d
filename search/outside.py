"""Any generator, measured from the images it left behind: no model of ours is needed, only two piles of images."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import FeatureSet, ImageSet, MetricResult, draw_grid, noise_floor
from evaluation.curve import DistanceCurve, distance_curve
from evaluation.manifold import NEIGHBORS
from evaluation.page import Picture, Report
from sbldm.data import SOURCES
from sbldm.errors import ConfigError, DataError
from sbldm.files import sha256
from sbldm.spec import digest_of
from search.cache import Cache, Entry
from search.config import ExperimentConfig, override
from search.events import Event
from search.image_folder import FolderImages, Reading, read_generated, read_real
from search.locate import source_changes
from search.measure import Judge, to_images
from search.report import CAPTIONS, ReportFiles, gather_facts, page_stage
from search.stages import cached, data_stage

GRID = 64
DRAWING = "samples.png"
NO_FLOOR = "No noise floor: the real patients are too few to be held against each other in two halves."
UNLIKE_VALUES = "The values of both sides became gray by different rules: what differs may be the rules."
Pair = tuple[FeatureSet, FeatureSet]


@dataclass(frozen=True, eq=False)
class OutsideResult:
    """What a pile of generated images came to.

    Attributes:
        results: ``eval/...`` against the real images, and ``floor/...`` between two halves of the real patients.
        curve: the distance against n.
        report: all of it, as the page says it.
        files: the page and its twin for machines.
    """

    results: dict[str, MetricResult]
    curve: DistanceCurve
    report: Report
    files: ReportFiles


def evaluate_outside(
    generated: Path,
    real: str,
    *,
    config: ExperimentConfig,
    cache: Cache,
    generated_reading: Reading | None = None,
    real_reading: Reading | None = None,
    facts: Mapping[str, str] | None = None,
) -> Generator[Event, None, OutsideResult]:
    """Measure generated images against real ones, with the noise floor, the curve and the page.

    Args:
        generated: folder of PNG, TIFF, npz or NIfTI files, or one file.
        real: the same; or a kind of source, or a folder of NIfTI volumes without stated range: these are
            prepared as the config says, and their test patients are used.
        config: its evaluation, and where the real images are prepared its data, prepare and split.
        cache: of stage outputs; features are kept by the digest of their images.
        generated_reading: values of the generated images.
        real_reading: values and patients of the real images, where they are not prepared.
        facts: versions and the like, for the page.

    Raises:
        DataError: a side is unsuitable, too small, or of another size than the other.
    """
    ours, theirs = generated_reading or Reading(), real_reading or Reading()
    made = read_generated(generated, ours)
    truth, settings = yield from _read_real(real, theirs, config, cache)
    _check_sides(made.images, truth.images)
    judge = Judge(config.evaluation, cache)
    features = yield from judge.features(truth.images)
    measured = yield from judge.generated(features, made.images.images)
    others = yield from judge.features(made.images)
    halves = split_halves(features)
    floor = noise_floor(*halves, level=config.evaluation.level) if halves else ()
    results = {f"eval/{each.name}": each for each in measured} | {f"floor/{each.name}": each for each in floor}
    curve = distance_curve(features, others, floor=halves)
    report = Report(
        title="Generated images against real images",
        results=results,
        pictures={"samples": Picture((yield from _draw(made.images, cache)), CAPTIONS["samples"])},
        curve=curve,
        facts=_describe(made, truth) | gather_facts(facts or {}),
        settings={"evaluation": config.public()["evaluation"]} | settings,
        command=_command(real, ours, theirs),
        remarks=(*(() if halves else (NO_FLOOR,)), *(() if made.values == truth.values else (UNLIKE_VALUES,))),
    )
    return OutsideResult(results, curve, report, (yield from page_stage(report, cache)))


def reading(values: str | None, patient_regex: str = "") -> Reading:
    """Return how a side is to be read, from words such as ``0,4095``."""
    if values is None:
        return Reading(patient_regex=patient_regex)
    try:
        low, high = (float(end) for end in values.split(","))
    except ValueError:
        raise ConfigError(f"a value range must be two numbers LOW,HIGH, but got {values!r}") from None
    return Reading((low, high), patient_regex)


def split_halves(features: FeatureSet, *, seed: int = 0) -> Pair | None:
    """Return two random halves of the patients, or None where a half would be too small to be measured."""
    patients = np.random.default_rng(seed).permutation(np.unique(features.groups))
    first = np.isin(features.groups, patients[: len(patients) // 2])
    if len(patients) < 4 or min(first.sum(), (~first).sum()) <= NEIGHBORS:
        return None
    left, right = (
        FeatureSet(features.rows[side], features.groups[side], features.extractor) for side in (first, ~first)
    )
    return left, right


def _read_real(
    real: str, reading: Reading, config: ExperimentConfig, cache: Cache
) -> Generator[Event, None, tuple[FolderImages, dict[str, Any]]]:
    """Return the real images, and the settings that decided them."""
    prepared = real in SOURCES.kinds() or (reading.value_range is None and _holds_volumes(real))
    if not prepared:
        return read_real(Path(real), reading), {}
    settings = override(config, source_changes(real))
    data = (yield from data_stage(settings, cache)).data
    if len(set(data.test.subjects.tolist())) < 2:
        raise DataError(f"{real}: intervals need several test patients, but there is one; raise split.test")
    words = "each volume's own percentiles, test patients only"
    shown = {name: settings.public()[name] for name in ("data", "prepare", "split")}
    return FolderImages(to_images(data.test), words, f"the source {settings.data.kind}"), shown


def _holds_volumes(real: str) -> bool:
    return Path(real).is_dir() and source_changes(real)["data"]["kind"] == "nifti"


def _check_sides(generated: ImageSet, real: ImageSet) -> None:
    if generated.images.shape[1:] != real.images.shape[1:]:
        sizes = [" x ".join(map(str, side.images.shape[2:])) for side in (generated, real)]
        raise DataError(
            f"both sides must share one size, but the generated images are {sizes[0]} and the real ones {sizes[1]};"
            " resize one side, or for a prepared source set prepare.size"
        )
    for name, side in {"generated": generated, "real": real}.items():
        if len(side) <= NEIGHBORS:
            raise DataError(f"each side needs more than {NEIGHBORS} images, but there are {len(side)} {name} ones")


def _draw(images: ImageSet, cache: Cache) -> Generator[Event, None, Path]:
    shown = ImageSet(images.images[:GRID], images.groups[:GRID])

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        yield from ()
        draw_grid(shown, entry.directory / DRAWING, title="Generated images")
        return {}

    digest = digest_of(["grid", sha256(shown.images.numpy().tobytes())])
    entry, _ = yield from cached(cache, "pictures", digest, build)
    return entry.directory / DRAWING


def _describe(made: FolderImages, truth: FolderImages) -> dict[str, str]:
    rows, columns = made.images.images.shape[2:]
    return {
        "image size": f"{rows} x {columns}",
        "values, generated": made.values,
        "values, real": truth.values,
        "patients, real": truth.patients,
    }


def _command(real: str, ours: Reading, theirs: Reading) -> str:
    """Return the command without the names of folders and of patients."""
    words = f"sbldm evaluate --generated GENERATED --real {real if real in SOURCES.kinds() else 'REAL'}"
    for option, reading in {"--range": ours, "--real-range": theirs}.items():
        if reading.value_range:
            words += f" {option} {','.join(map(str, reading.value_range))}"
    return words + (" --patient-regex REGEX" if theirs.patient_regex else "")
