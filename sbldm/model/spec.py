"""All that decides what a model is, apart from its weights."""

from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from sbldm.diffusion import AnySchedule, AnySkip, NoSkip, Prediction, check_prediction
from sbldm.model.conditioning import TOLD_AS
from sbldm.nn import AnyAutoencoder, AnyNetwork, Autoencoder, borrowed_generator
from sbldm.spec import Spec

CUES = "position", "cutmix"
"""What the network is told about each sample: slice position in [-1, 1], and 1 where CutMix has been at work."""


class ModelSpec(Spec):
    """Describe all that decides what a model is, apart from its weights."""

    younger: ClassVar[tuple[str, ...]] = ("conditions", "skip")
    size: int = Field(64, ge=4)
    """Height and width of the images."""
    image_channels: int = Field(1, ge=1)
    label_names: tuple[str, ...] = ()
    """Names of classes 1..K."""
    autoencoder: AnyAutoencoder
    network: AnyNetwork
    schedule: AnySchedule
    prediction: Prediction = "v"
    conditions: tuple[str, ...] = ()
    """Names of the numbers that follow the ``CUES``: each told as ``TOLD_AS`` says."""
    skip: AnySkip = NoSkip()
    """What is predicted in closed form, so that the network adds the rest."""

    @model_validator(mode="after")
    def _parts_agree(self) -> "ModelSpec":
        self.autoencoder.check_size(self.size)
        self.network.check_latent(self.latent_size)
        check_prediction(self.schedule.build(), self.prediction)
        return self

    @property
    def classes(self) -> int:
        """Return the number of classes, the background included."""
        return 1 + len(self.label_names)

    @property
    def latent_size(self) -> int:
        """Return the height and width of a latent."""
        return self.size // self.autoencoder.downsample

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Return channels, height and width of a latent."""
        return self.autoencoder.latent_channels, self.latent_size, self.latent_size

    @property
    def cues(self) -> int:
        """Return how many numbers the network is told per sample."""
        return len(CUES) + len(TOLD_AS) * len(self.conditions)

    def build_autoencoder(self, seed: int) -> Autoencoder:
        """Return the autoencoder with its first weights."""
        with borrowed_generator(seed, "autoencoder"):
            return self.autoencoder.build(self.image_channels, self.classes, self.size)

    def build_network(self, seed: int) -> nn.Module:
        """Return the network with its first weights."""
        with borrowed_generator(seed, "network"):
            return self.skip.wrap(
                lambda channels: self.network.build(channels, self.cues),
                self.latent_shape,
                schedule=self.schedule.build(),
                prediction=self.prediction,
            )


def forget_conditions(cues: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """Return the cues of samples of whose conditions nothing is known: all their values and flags are 0."""
    return torch.cat([cues[:, : len(CUES)], torch.zeros_like(cues[:, len(CUES) :])], dim=1)
