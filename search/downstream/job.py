"""One segmenter trained and scored: a stage of the cache, worked at by any process."""

from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from evaluation.segmentation.types import LabelledSet, Score
from sbldm.files import read_json, write_json
from sbldm.spec import digest_of
from sbldm.training import choose_device
from search.cache import Cache, Entry
from search.downstream.identity import Patients, from_record, identify_images, image_digest, to_record
from search.downstream.labelled_file import load_slices
from search.events import Event, Progress
from search.stages import cached

STAGE = "segmenter"
SCORES, SAW = "scores.json", "saw.json"
Rows = tuple[int, int]


@runtime_checkable
class Segmentation(Protocol):
    """How a segmenter is trained on what an arm makes of real and synthetic slices, and how it is scored."""

    @property
    def steps(self) -> int:
        """Return how many steps one training takes."""
        ...

    @property
    def arms(self) -> Mapping[str, bool]:
        """Return the arms by name, and of each whether it takes synthetic slices."""
        ...

    def identity(self) -> Mapping[str, Any]:
        """Return all that decides a training apart from slices, arm and seed, as JSON values."""
        ...

    def train_and_score(
        self, task: "Task", slices: "Slices", device: torch.device
    ) -> Generator[int, None, tuple[Score, ...]]:
        """Yield after each step how many were done, and return one score per test patient, class and metric."""
        ...


@dataclass(frozen=True)
class Task:
    """Which training this is."""

    arm: str
    fraction: float
    seed: int


@dataclass(frozen=True, eq=False)
class Slices:
    """What it may learn from, and what it is scored on; the arm says what of it is used."""

    real: LabelledSet
    synthetic: LabelledSet | None
    validation: LabelledSet
    test: LabelledSet


@dataclass(frozen=True)
class Files:
    """Where the slices lie: whole parts, of which a training takes some patients and some synthetic rows."""

    train: Path
    validation: Path
    test: Path
    names: tuple[str, ...]

    def parts(self, patients: tuple[int, ...], synthetic: Path | None, rows: Rows) -> Slices:
        """Return the slices of one training."""
        train, validation, test = (load_slices(each, self.names) for each in (self.train, self.validation, self.test))
        made = load_slices(synthetic, self.names).select(torch.arange(*rows)) if synthetic else None
        return Slices(train.of_patients(patients), made, validation, test)


@dataclass(frozen=True)
class Saw:
    """What a segmenter was given to learn from, by digest."""

    patients: Patients
    synthetic: frozenset[str]


@dataclass(frozen=True)
class SegmenterJob:
    """One training, with all that another process needs to do it.

    Attributes:
        patients: real training patients, by number.
        synthetic: file of synthetic slices, or None where the arm takes none.
        rows: of that file, from and to.
    """

    task: Task
    files: Files
    patients: tuple[int, ...]
    synthetic: Path | None
    rows: Rows
    segmentation: Segmentation
    cache: Cache
    device: str

    @property
    def steps(self) -> int:
        """Return how many steps the training takes."""
        return self.segmentation.steps

    @property
    def digest(self) -> str:
        """Return what names the training: files are named by the digest of their content."""
        files = [each.parent.name for each in (self.files.train, self.files.validation, self.files.test)]
        made = [self.synthetic.parent.name, *self.rows] if self.synthetic else []
        facts = [asdict(self.task), files, list(self.files.names), sorted(self.patients), made]
        return digest_of([*facts, dict(self.segmentation.identity())])

    def run(self) -> Generator[int, None, None]:
        """Train, score and keep the scores, unless another process has done so; yield steps done."""
        done = 0
        for event in cached(self.cache, STAGE, self.digest, self._build):
            if isinstance(event, Progress):
                done += event.done
                yield event.done
        yield self.steps - done

    def is_done(self) -> bool:
        """Return whether the scores are there."""
        return self._entry().meta() is not None

    def scores(self) -> tuple[Score, ...]:
        """Return the scores of a training that is done."""
        rows = read_json(self._entry().directory / SCORES)
        return tuple(Score(**asdict(self.task), **row | {"value": _number(row["value"])}) for row in rows)

    def saw(self) -> Saw:
        """Return what the training was given to learn from, as it recorded that itself."""
        record = read_json(self._entry().directory / SAW)
        return Saw(from_record(record["patients"]), frozenset(record["synthetic"]))

    def seconds(self) -> float:
        """Return how long the training took."""
        return float((self._entry().meta() or {}).get("seconds", 0.0))

    def _entry(self) -> Entry:
        return self.cache.entry(STAGE, self.digest)

    def _build(self, entry: Entry) -> Generator[Event, None, dict[str, Any]]:
        slices = self.files.parts(self.patients, self.synthetic, self.rows)
        steps = self.segmentation.train_and_score(self.task, slices, choose_device(self.device))  # type: ignore[arg-type]
        scores = yield from _as_progress(steps, self.steps)
        write_json(entry.directory / SAW, _saw(slices))
        write_json(entry.directory / SCORES, [_row(score) for score in scores])
        return {}


def _as_progress(
    steps: Generator[int, None, tuple[Score, ...]], total: int
) -> Generator[Event, None, tuple[Score, ...]]:
    """Pass on the steps since the last time, and return the scores."""
    while True:
        try:
            yield Progress(STAGE, next(steps), total)
        except StopIteration as finished:
            scores: tuple[Score, ...] = finished.value
            return scores


def _saw(slices: Slices) -> dict[str, Any]:
    people = identify_images(slices.real.images, slices.real.groups).values()
    made = {image_digest(image) for image in slices.synthetic.images} if slices.synthetic else set()
    return {"patients": to_record(people), "synthetic": sorted(made)}


def _row(score: Score) -> dict[str, Any]:
    """Return a score without what its task says; JSON knows no NaN."""
    value = None if score.value != score.value else score.value
    return {"patient": score.patient, "label": score.label, "metric": score.metric, "value": value}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
