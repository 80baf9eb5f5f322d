"""All that decides what a model is, apart from its weights."""

from pydantic import Field, model_validator
from torch import nn

from sbldm.diffusion import AnySchedule, Prediction, check_prediction
from sbldm.nn import AnyAutoencoder, AnyNetwork, Autoencoder, borrowed_generator
from sbldm.spec import Spec

CUES = "position", "cutmix"
"""What the network is told about each sample: slice position in [-1, 1], and 1 where CutMix has been at work."""


class ModelSpec(Spec):
    """Describe all that decides what a model is, apart from its weights."""

    size: int = Field(64, ge=4)
    """Height and width of the images."""
    image_channels: int = Field(1, ge=1)
    label_names: tuple[str, ...] = ()
    """Names of classes 1..K."""
    autoencoder: AnyAutoencoder
    network: AnyNetwork
    schedule: AnySchedule
    prediction: Prediction = "v"

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

    def build_autoencoder(self, seed: int) -> Autoencoder:
        """Return the autoencoder with its first weights."""
        with borrowed_generator(seed, "autoencoder"):
            return self.autoencoder.build(self.image_channels, self.classes, self.size)

    def build_network(self, seed: int) -> nn.Module:
        """Return the network with its first weights."""
        with borrowed_generator(seed, "network"):
            return self.network.build(self.autoencoder.latent_channels, len(CUES))
