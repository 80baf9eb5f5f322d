"""Does the model return its training patients? The samples of a run, audited in features and in pixels."""

import io
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation import ImageSet, MetricResult, stand_alone
from evaluation.closeness import Calibration, Reference
from evaluation.copies import copies_constraint, copies_result, reference_result
from evaluation.memorization import MemorizationAudit, memorization
from evaluation.nearest_pairs import draw_nearest_pairs
from evaluation.pixel_copies import pixel_memorization, pixel_reference
from sbldm.data import PreparedData
from sbldm.files import atomic_write, read_json, write_json
from sbldm.spec import digest_of
from search.cache import Cache, Entry
from search.config import ExperimentConfig
from search.events import Event
from search.measure import Judge, to_images
from search.sampling import Samples
from search.stages import cached

FILE, REFERENCE = "copies.json", "reference.npz"
CALIBRATION: Calibration = "held-out and training"
FEWEST = 3  # training patients that can be held against each other


@dataclass(frozen=True)
class Audited:
    """What the audits came to.

    Attributes:
        results: shares of copies, `eval/copies_<space>`, and what real patients show, `floor/copies_<space>`.
        constraints: of each space, above 0 where chance does not explain the copies. To constrain a search
            take "pixel": to lite0 a little noise or blur makes a copy look like another patient's slice.
        pictures: the most suspicious pairs, where training patients may be shown.
    """

    results: dict[str, MetricResult]
    constraints: dict[str, float]
    pictures: dict[str, Path]


def audit_stage(
    config: ExperimentConfig, data: PreparedData, samples: Samples, judge: Judge, cache: Cache
) -> Generator[Event, None, Audited]:
    """Hold the samples against the training slices; nothing is found with fewer than 3 training patients.

    The validation patients calibrate, for the network has not seen them. The test patients would do as
    well, but every other metric compares with them, and a constraint that a search must keep may not
    look at what its results are reported on.
    """
    if to_images(data.train).patients < FEWEST:
        return Audited({}, {}, {})
    show_real = config.data.kind == "phantom" or config.evaluation.log_real_images

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        train, generated = to_images(data.train), stand_alone(samples.images)
        reference = yield from _reference(data, cache)
        audits = yield from _audit(train, to_images(data.validation), generated, judge, reference)
        if show_real:
            for audit in audits:
                draw_nearest_pairs(audit, train, generated, entry.directory / _picture(audit.space))
        write_json(entry.directory / FILE, {audit.space: _record(audit) for audit in audits})
        return {}

    settings = config.evaluation.model_dump(mode="json", include={"extractor", "level"})
    digest = digest_of([samples.path.parent.name, data.digest, settings, CALIBRATION, show_real])
    entry, _ = yield from cached(cache, "audit", digest, build)
    return _read(entry.directory, show_real)


def _audit(
    train: ImageSet, held_out: ImageSet, generated: ImageSet, judge: Judge, reference: Reference
) -> Generator[Event, None, tuple[MemorizationAudit, ...]]:
    known, unseen = (yield from judge.features(train)), (yield from judge.features(held_out))
    drawn = yield from judge.features(generated)
    level = judge.spec.level
    return (
        memorization(known, unseen, drawn, level=level, calibration=CALIBRATION),
        pixel_memorization(train, held_out, generated, level=level, calibration=CALIBRATION, reference=reference),
    )


def _reference(data: PreparedData, cache: Cache) -> Generator[Event, None, Reference]:
    """Return how near real patients come to each other in pixels; all samples held against the same data share it."""

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        yield from ()
        found = pixel_reference(to_images(data.train), to_images(data.validation), CALIBRATION)
        content = io.BytesIO()
        np.savez(content, ratio=found.ratio, groups=found.groups)
        atomic_write(entry.directory / REFERENCE, content.getvalue())
        return {}

    entry, _ = yield from cached(cache, "reference", digest_of([data.digest, CALIBRATION]), build)
    with np.load(entry.directory / REFERENCE, allow_pickle=False) as arrays:
        return Reference(arrays["ratio"], arrays["groups"])


def _record(audit: MemorizationAudit) -> Mapping[str, object]:
    return {
        "result": copies_result(audit).to_json(),
        "reference": reference_result(audit).to_json(),
        "constraint": copies_constraint(audit),
        "audit": audit.to_json(),
    }


def _read(directory: Path, show_real: bool) -> Audited:
    records = read_json(directory / FILE)
    results = [MetricResult.from_json(record["result"]) for record in records.values()]
    floors = [MetricResult.from_json(record["reference"]) for record in records.values()]
    return Audited(
        results={f"eval/{result.name}": result for result in results}
        | {f"floor/{floor.name}": floor for floor in floors},
        constraints={space: float(record["constraint"]) for space, record in records.items()},
        pictures={f"copies_{space}": directory / _picture(space) for space in records} if show_real else {},
    )


def _picture(space: str) -> str:
    return f"nearest_{space}.png"
