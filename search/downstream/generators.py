"""One generator per fraction: trained on that fraction's patients alone, through the stages of any experiment."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sbldm.data import PreparedData
from search.cache import Cache
from search.config import ExperimentConfig
from search.downstream.identity import Patients, identify, recall_patients
from search.downstream.leaks import Learner
from search.downstream.restrict import restrict_training
from search.events import Event
from search.experiment import train_stages
from search.sampling import Samples, sample_stage
from search.stages import Trained


@dataclass(frozen=True, eq=False)
class FractionGenerator:
    """The generator of one fraction, and whom its two trainings recorded."""

    fraction: float
    trained: Trained
    learners: tuple[Learner, Learner]


def generator_stage(
    config: ExperimentConfig, data: PreparedData, cache: Cache, *, fraction: float, patients: Sequence[int]
) -> Generator[Event, None, FractionGenerator]:
    """Return the generator of these training patients, with the settings and the steps of the experiment.

    At all patients this is the experiment's own model, found ready in the cache.
    """
    fewer = restrict_training(data, patients)
    trained = yield from train_stages(config, fewer, cache)
    allowed = tuple(identify(fewer.train).values())
    return FractionGenerator(fraction, trained, learners_of(trained, cache, allowed=allowed, fraction=fraction))


def learners_of(trained: Trained, cache: Cache, *, allowed: Patients, fraction: float) -> tuple[Learner, Learner]:
    """Return both trainings of a model with the patients each recorded, wherever they were trained."""
    autoencoder = cache.entry("autoencoder", trained.codec_digest).directory
    return (
        _learner("autoencoder", autoencoder, allowed, fraction),
        _learner("network", trained.directory, allowed, fraction),
    )


def synthetic_stage(
    config: ExperimentConfig, generator: FractionGenerator, cache: Cache, *, count: int, seed: int
) -> Generator[Event, None, Samples]:
    """Return so many labelled slices of a generator, by the experiment's own sampler."""
    return (
        yield from sample_stage(
            generator.trained.model,
            generator.trained.digest,
            sampler=config.sampler,
            count=count,
            seed=seed,
            batch=config.evaluation.batch,
            cache=cache,
            device=config.device,
        )
    )


def _learner(what: str, folder: Path, allowed: Patients, fraction: float) -> Learner:
    return Learner(f"{what} at {100 * fraction:g} %", allowed, recall_patients(folder))
