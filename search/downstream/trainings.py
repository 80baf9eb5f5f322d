"""All segmenters of a benchmark: planned from the patients dealt, trained side by side, and told to the audit."""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sbldm.data import PreparedData
from sbldm.errors import ConfigError
from sbldm.spec import did_you_mean
from sbldm.training import choose_device
from search.cache import Cache
from search.downstream.fractions import Numbers, nested_patients
from search.downstream.identity import Patient, identify
from search.downstream.job import Files, Segmentation, SegmenterJob, Task
from search.downstream.labelled_file import from_slices, keep_slices
from search.downstream.leaks import Learner
from search.downstream.spec import BenchmarkSpec
from search.downstream.workers import choose_workers, work_through
from search.events import Event, StageFinished, StageStarted

STAGE = "segmenters"
Deal = dict[tuple[float, int], Numbers]


@dataclass(frozen=True)
class Stretch:
    """Synthetic slices of one training: a file, and its rows from and to."""

    path: Path
    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first


Synthetic = Mapping[tuple[Numbers, int], Stretch]


def deal_patients(spec: BenchmarkSpec, data: PreparedData) -> Deal:
    """Return the training patients of each fraction and seed."""
    known: list[int] = data.train.subjects.tolist()
    deal: Deal = {}
    for seed in range(spec.seeds):
        own = seed if spec.patients == "per_seed" else 0
        nested = nested_patients(known, spec.fractions, seed=spec.patients_seed + own)
        deal |= {(fraction, seed): patients for fraction, patients in nested.items()}
    return deal


def choose_arms(spec: BenchmarkSpec, segmentation: Segmentation) -> tuple[str, ...]:
    """Return the arms that are asked for, all where none is named."""
    for name in spec.arms:
        if name not in segmentation.arms:
            known = tuple(segmentation.arms)
            raise ConfigError(f"unknown arm {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")
    return spec.arms or tuple(segmentation.arms)


def plan_jobs(
    spec: BenchmarkSpec,
    deal: Deal,
    files: Files,
    synthetic: Synthetic,
    *,
    segmentation: Segmentation,
    cache: Cache,
    device: str,
) -> tuple[SegmenterJob, ...]:
    """Return every training: each arm at each fraction with each seed.

    Args:
        spec: of the benchmark.
        deal: patients of each fraction and seed.
        files: real slices.
        synthetic: for each set of patients and each seed.
        segmentation: how to train.
        cache: where scores are kept.
        device: where to train.
    """
    jobs = []
    for (fraction, seed), patients in deal.items():
        for arm in choose_arms(spec, segmentation):
            made = synthetic[patients, seed] if segmentation.arms[arm] else None
            path, rows = (made.path, (made.first, made.end)) if made else (None, (0, 0))
            task = Task(arm, fraction, seed)
            jobs.append(SegmenterJob(task, files, patients, path, rows, segmentation, cache, device))
    return tuple(jobs)


def keep_files(data: PreparedData, cache: Cache) -> Generator[Event, None, Files]:
    """Return the files of all three parts."""
    train = yield from keep_slices(from_slices(data.train), cache)
    validation = yield from keep_slices(from_slices(data.validation), cache)
    test = yield from keep_slices(from_slices(data.test), cache)
    return Files(train, validation, test, data.train.label_names)


def train_all(jobs: Sequence[SegmenterJob], *, workers: int | None, device: str) -> Generator[Event, None, None]:
    """Do every training that is not done yet; a kill loses those under way, and nothing else."""
    waiting = [job for job in jobs if not job.is_done()]
    count, threads = choose_workers(workers, choose_device(device))  # type: ignore[arg-type]
    started = time.perf_counter()
    yield StageStarted(STAGE)
    yield from work_through(waiting, stage=STAGE, workers=count, threads=threads)
    once = sum(job.seconds() for job in jobs) if not waiting else time.perf_counter() - started
    yield StageFinished(STAGE, once, cached=not waiting)


def learners_among(jobs: Sequence[SegmenterJob], data: PreparedData) -> tuple[Learner, ...]:
    """Return every segmenter with whom it recorded, to be held against whom its fraction holds."""
    known = identify(data.train)
    return tuple(_learner(job, known) for job in jobs)


def _learner(job: SegmenterJob, known: Mapping[int, Patient]) -> Learner:
    task, saw = job.task, job.saw()
    name = f"segmenter {task.arm} at {100 * task.fraction:g} %, seed {task.seed}"
    return Learner(name, tuple(known[number] for number in job.patients), saw.patients, saw.synthetic)
