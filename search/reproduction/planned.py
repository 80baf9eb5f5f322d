"""A planned experiment: a question, its budget, and the criteria that decide it."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation import MetricResult
from sbldm.spec import digest_of
from search.cache import Cache
from search.config import ExperimentConfig
from search.reproduction.criterion import Check, Verdict, all_hold
from search.runner import StudyEvent
from search.tracking import MlflowStore, Tracker

Decide = Callable[[Sequence[Check]], Verdict]


@dataclass(frozen=True, eq=False)
class Workplace:
    """What an experiment works with.

    Attributes:
        config: all settings.
        home: folder of the cache and of studies.
        store: where studies track their trials.
        tracker: of the experiment's own run.
        seeds: of a study.
        workers: processes of a study.
    """

    config: ExperimentConfig
    home: Path
    store: MlflowStore
    tracker: Tracker
    seeds: int
    workers: int

    @property
    def cache(self) -> Cache:
        """Return the cache of all stages."""
        return Cache(self.home / "cache")


def identify(config: ExperimentConfig) -> str:
    """Return what tells these settings and files from others, without a path."""
    return digest_of([config.public(), config.data.fingerprint()])


@dataclass(frozen=True)
class Findings:
    """What an experiment found: its criteria, numbers to track, and what the data say in sentences."""

    checks: tuple[Check, ...]
    results: dict[str, MetricResult] = field(default_factory=dict)
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """One experiment of the reproduction plan.

    Attributes:
        name: how the plan calls it, such as E1.1.
        title: what it is about, in few words.
        question: what its verdict answers.
        preset: its budget.
        criteria: in words, as they are listed before anything is run.
        run_time: what to expect of its own preset.
        measure: runs it, from the cache where that is possible, and judges.
        changes: laid over the preset.
        decide: how the criteria become one verdict.
        trains: stages that it trains: autoencoder, network.
        study: whose trials it runs, if any.
    """

    name: str
    title: str
    question: str
    preset: str
    criteria: tuple[str, ...]
    run_time: str
    measure: Callable[[Workplace], Generator[StudyEvent, None, Findings]]
    changes: Mapping[str, Any] = field(default_factory=dict)
    decide: Decide = all_hold
    trains: tuple[str, ...] = ("autoencoder", "network")
    study: str = ""
