"""Runs side by side: opened, refused where they cannot be compared, and turned into features of one reference."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation import FeatureSet, stand_alone
from sbldm.errors import RunError
from search.cache import Cache
from search.events import Event
from search.measure import Judge, to_images
from search.runs import OpenedRun, find_data, open_run, sample_run
from search.stages import Prepared
from search.tracking import MlflowStore

SAME = {"split": "another split of the patients", "data": "other slices"}


@dataclass(frozen=True, eq=False)
class Gathered:
    """Runs of one split, the features of their test slices, and of as many samples of each.

    Attributes:
        labels: the runs' names; with the beginning of their ids where two share a name.
    """

    runs: tuple[OpenedRun, ...]
    labels: tuple[str, ...]
    prepared: Prepared
    real: FeatureSet
    generated: tuple[FeatureSet, ...]

    def share_noise(self, first: int, second: int) -> bool:
        """Say whether sample i of both runs starts from the same noise, and so may be compared pair by pair."""
        one, other = self.runs[first], self.runs[second]
        alike = one.config.sampler.kind == other.config.sampler.kind and one.config.seed == other.config.seed
        return alike and one.trained.model.spec.latent_shape == other.trained.model.spec.latent_shape


def open_runs(
    runs: Sequence[str | OpenedRun], *, cache: Cache, store: MlflowStore, changes: Mapping[str, Any] | None = None
) -> tuple[OpenedRun, ...]:
    """Open runs by the beginnings of their ids.

    Raises:
        RunError: one is named twice, or two differ in the split, the data or the extractor that judges them.
    """
    opened = tuple(
        open_run(run, cache=cache, store=store, changes=changes) if isinstance(run, str) else run for run in runs
    )
    for run_id, times in Counter(run.record.run_id for run in opened).items():
        if times > 1:
            raise RunError(f"name different runs, but {run_id[:8]} is given {times} times")
    for other in opened[1:]:
        _check_comparable(opened[0], other)
    return opened


def gather(runs: Sequence[OpenedRun], cache: Cache) -> Generator[Event, None, Gathered]:
    """Return the features of all runs; each is sampled as its own evaluation does, and the surplus is left out."""
    prepared = yield from find_data(runs[0], cache)
    judge = Judge(runs[0].config.evaluation, cache)
    real = yield from judge.features(to_images(prepared.data.test))
    count = min(run.config.evaluation.samples for run in runs)
    generated = []
    for run in runs:
        samples = yield from sample_run(run, run.config.evaluation.samples, seed=run.config.seed, cache=cache)
        features = yield from judge.features(stand_alone(samples.images))
        generated.append(FeatureSet(features.rows[:count], features.groups[:count], features.extractor))
    return Gathered(tuple(runs), label_runs(runs), prepared, real, tuple(generated))


def label_runs(runs: Sequence[OpenedRun]) -> tuple[str, ...]:
    """Return the runs' names, each with the beginning of its id where another has the same."""
    times = Counter(run.record.name for run in runs)
    return tuple(
        run.record.name if times[run.record.name] == 1 else f"{run.record.name} ({run.record.run_id[:8]})"
        for run in runs
    )


def _check_comparable(first: OpenedRun, other: OpenedRun) -> None:
    names = " and ".join(f"{run.record.run_id[:8]} ({run.record.name})" for run in (first, other))
    for tag, what in SAME.items():
        tags = [run.record.tags.get(f"sbldm.{tag}", "unknown") for run in (first, other)]
        if tags[0] != tags[1]:
            raise RunError(f"runs {names} cannot be compared: they saw {what} ({tags[0]}, {tags[1]})")
    judges = [run.config.evaluation.extractor for run in (first, other)]
    if judges[0] != judges[1]:
        raise RunError(f"runs {names} cannot be compared: their extractors differ ({judges[0]}, {judges[1]})")
