"""What experiments of one model measure: its reconstructions, its network against an untrained one, its samples."""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from evaluation import Difference, FeatureSet, MetricResult, compare_scores, stand_alone
from sbldm.data import PreparedData
from sbldm.diffusion import Denoiser, SamplerSpec
from sbldm.model import LatentDiffusion
from sbldm.training import ValidationSet, choose_device
from sbldm.training.validation import validation_loss
from search.config import ExperimentConfig
from search.events import Event
from search.experiment import train_stages
from search.measure import Judge, to_images
from search.reproduction.planned import Workplace
from search.sampling import Samples, sample_stage
from search.stages import Trained, codec_stage, data_stage, measure_training, untrained
from search.training import validation_set
from search.yardsticks import rebuild


@dataclass(frozen=True, eq=False)
class Material:
    """A trained model with the slices it was trained on and is judged by."""

    place: Workplace
    data: PreparedData
    trained: Trained

    @property
    def judge(self) -> Judge:
        """Return what turns images into features."""
        return Judge(self.place.config.evaluation, self.place.cache)

    def blank(self) -> LatentDiffusion:
        """Return the model before it has learned anything."""
        return untrained(self.place.config, self.data, self.trained.model)

    def draw(
        self, sampler: SamplerSpec, *, model: LatentDiffusion | None = None, seed: int | None = None
    ) -> Generator[Event, None, Samples]:
        """Return samples of the trained model, or of another one that its digest for untrained ones names."""
        config = self.place.config
        return (
            yield from sample_stage(
                model or self.trained.model,
                self.trained.untrained_digest if model else self.trained.digest,
                sampler=sampler,
                count=config.evaluation.samples,
                seed=config.seed if seed is None else seed,
                batch=config.evaluation.batch,
                cache=self.place.cache,
                device=config.device,
            )
        )

    def features(self, samples: Samples) -> Generator[Event, None, FeatureSet]:
        """Return the features of samples."""
        return (yield from self.judge.features(stand_alone(samples.images)))

    def real(self) -> Generator[Event, None, FeatureSet]:
        """Return the features of the test slices."""
        return (yield from self.judge.features(to_images(self.data.test)))


def train_model(place: Workplace) -> Generator[Event, None, Material]:
    """Return the trained model; stages that are ready in the cache are not run again."""
    prepared = yield from data_stage(place.config, place.cache)
    trained = yield from train_stages(place.config, prepared.data, place.cache)
    return Material(place, prepared.data, trained)


def measure_reconstructions(place: Workplace) -> Generator[Event, None, dict[str, MetricResult]]:
    """Return the metrics of reconstructions of test patients; no network is trained for them."""
    prepared = yield from data_stage(place.config, place.cache)
    codec, digest = yield from codec_stage(place.config, prepared.data, place.cache)
    judge = Judge(place.config.evaluation, place.cache)
    return (yield from rebuild(place.config, prepared.data, codec, digest, judge, place.cache))


def validation_gap(material: Material) -> tuple[Difference, str]:
    """Return the loss of the trained network less that of the untrained one, paired slice by slice, and both in words.

    Both see the same slices of validation patients with the same noise, and err on the clean latent, averaged over
    ranges of log-SNR.
    """
    data, config = material.data, material.place.config
    if not len(data.validation):
        none = np.empty(0)
        nothing = compare_scores(none, none, np.empty(0, np.int64), name="validation loss", direction="lower")
        return nothing, "There are no validation patients."
    part = validation_set(material.trained.model.codec, data.validation, measure_training(data))
    first, second = (_losses(model, part, config) for model in (material.trained.model, material.blank()))
    gap = compare_scores(
        first,
        second,
        part.patients.numpy(),
        name="validation loss",
        direction="lower",
        level=config.evaluation.level,
        labels=("trained", "untrained"),
    )
    return gap, f"Validation loss: {first.mean():.3g} trained, {second.mean():.3g} untrained."


def _losses(model: LatentDiffusion, part: ValidationSet, config: ExperimentConfig) -> Float64[np.ndarray, " n"]:
    placed = model.to(choose_device(config.device))
    denoiser: Denoiser = placed.denoiser()
    bins = validation_loss(denoiser, part.latents.to(placed.device), part.cues.to(placed.device), seed=0)
    errors: Float64[np.ndarray, " n"] = np.array([each.clean_errors for each in bins]).mean(0)
    return errors
