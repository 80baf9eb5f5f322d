"""What the model is built from: autoencoders and networks, each a family of rivals."""

from sbldm.nn.autoencoders import AUTOENCODERS, AnyAutoencoder, Autoencoder, AutoencoderSpec
from sbldm.nn.networks import NETWORKS, AnyNetwork, NetworkSpec
from sbldm.nn.randomness import borrowed_generator

__all__ = [
    "AUTOENCODERS",
    "NETWORKS",
    "AnyAutoencoder",
    "AnyNetwork",
    "Autoencoder",
    "AutoencoderSpec",
    "NetworkSpec",
    "borrowed_generator",
]
