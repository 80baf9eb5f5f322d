"""What a watcher may know of an experiment on its way from files to numbers."""

from dataclasses import dataclass, field
from pathlib import Path

from evaluation import MetricResult
from sbldm.training import StepRecord, ValidationRecord


@dataclass(frozen=True)
class StageStarted:
    """A stage begins to work."""

    stage: str


@dataclass(frozen=True)
class Progress:
    """So much of a stage is done."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class StageFinished:
    """A stage has its result; ``seconds`` is what it once took to make, ``cached`` says it was found ready."""

    stage: str
    seconds: float
    cached: bool


@dataclass(frozen=True)
class ExperimentResult:
    """What an experiment came to.

    Attributes:
        results: every metric with its interval, under its tracked name such as ``eval/fd_lite0``.
        numbers: costs and facts without interval, such as ``cost/train_seconds``.
        digests: what names the data, the split and the trained network.
        pictures: PNG files by name.
        files: others to keep with the run, by the folder they belong in: the report, the features.
        model: directory of the trained model.
        samples: npz file of the generated slices.
    """

    results: dict[str, MetricResult]
    numbers: dict[str, float]
    digests: dict[str, str]
    model: Path
    samples: Path
    pictures: dict[str, Path] = field(default_factory=dict)
    files: dict[str, tuple[Path, ...]] = field(default_factory=dict)


Event = StageStarted | Progress | StepRecord | ValidationRecord | StageFinished | ExperimentResult
