"""An experiment's events on their way to a tracker; the watcher behind sees them all the same."""

import math
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

from evaluation import MetricResult
from sbldm.errors import DivergedError
from sbldm.training import StepRecord, ValidationRecord
from search.config import ExperimentConfig, flatten
from search.events import Event, ExperimentResult, StageFinished
from search.provenance import environment
from search.tracking import MEASURED, Artifact, Document, Params, Picture, Scalar, Tags, Tracker
from search.training import LOSSES

EVERY = 10


def record_run(
    config: ExperimentConfig, events: Generator[Event, None, ExperimentResult], tracker: Tracker
) -> Generator[Event, None, ExperimentResult]:
    """Pass the events on, log them, and close the run with its true status."""
    with working(config, tracker):
        result = yield from _follow(events, tracker)
    log_result(result, tracker, steps=config.training.steps)
    tracker.finish("FINISHED")
    return result


@contextmanager
def working(config: ExperimentConfig, tracker: Tracker) -> Iterator[None]:
    """Log what decides a run, and where the work ends early, close the run with its true status."""
    tracker.log(Params(flatten(config.public())))
    tracker.log(Document("config.json", config.public()))
    tracker.log(Tags(environment()))
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        tracker.finish("KILLED")
        raise
    except BaseException as error:
        tracker.log(Tags({"sbldm.failure": "diverged" if isinstance(error, DivergedError) else type(error).__name__}))
        tracker.finish("FAILED")
        raise


def log_result(result: ExperimentResult, tracker: Tracker, *, steps: int = 0) -> None:
    """Log every number with both ends of its interval, the pictures and the model.

    Validation losses belong to the last of the training's ``steps``: there the curves end.
    """
    for name, measured in result.results.items():
        for item in _scalars(name, measured):
            tracker.log(item)
    for name, value in result.numbers.items():
        tracker.log(Scalar(name, value, steps if name.startswith(LOSSES) else 0))
    tracker.log(Tags({f"sbldm.{name}": digest for name, digest in result.digests.items()}))
    tracker.log(Document("results.json", {name: each.to_json() for name, each in result.results.items()}))
    for name, path in result.pictures.items():
        tracker.log(Picture(name, path))
    for folder, paths in result.files.items():
        for path in paths:
            tracker.log(Artifact(path, folder))
    for path in sorted(result.model.glob("*")):
        if path.name == "model.json" or path.suffix == ".safetensors":
            tracker.log(Artifact(path, "model"))
    tracker.log(Tags({MEASURED: "true"}))  # all of it is there


def _follow(
    events: Generator[Event, None, ExperimentResult], tracker: Tracker
) -> Generator[Event, None, ExperimentResult]:
    with closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as finished:
                result: ExperimentResult = finished.value
                return result
            _log(event, tracker)
            yield event


def _log(event: Event, tracker: Tracker) -> None:
    if isinstance(event, StepRecord) and (event.step % EVERY == 0 or event.step == event.steps):
        for name in ("loss", "learning_rate", "gradient_norm"):
            tracker.log(Scalar(f"{event.stage}/{name}", float(getattr(event, name)), event.step))
    elif isinstance(event, ValidationRecord):
        for name, value in event.numbers().items():
            tracker.log(Scalar(name, value, event.step))
    elif isinstance(event, StageFinished):
        tracker.log(Scalar(f"seconds/{event.stage}", event.seconds))


def _scalars(name: str, measured: MetricResult) -> list[Scalar]:
    ends = {name: measured.point, f"{name}_low": measured.low, f"{name}_high": measured.high}
    return [Scalar(key, value) for key, value in ends.items() if value is not None and not math.isnan(value)]
