"""Autoencoders; importing a rival here registers it."""

from sbldm.nn.autoencoders.base import AUTOENCODERS, AnyAutoencoder, Autoencoder, AutoencoderSpec, Posterior, Scaling
from sbldm.nn.autoencoders.inputs import autoencoder_loss, class_weights, pack, reconstruction_loss, unpack
from sbldm.nn.autoencoders.patch import Patch
from sbldm.nn.autoencoders.strided import Strided

__all__ = [
    "AUTOENCODERS",
    "AnyAutoencoder",
    "Autoencoder",
    "AutoencoderSpec",
    "Patch",
    "Posterior",
    "Scaling",
    "Strided",
    "autoencoder_loss",
    "class_weights",
    "pack",
    "reconstruction_loss",
    "unpack",
]
