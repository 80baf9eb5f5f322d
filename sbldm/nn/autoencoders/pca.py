"""The best linear code of image patches, in closed form."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class LinearCode:
    """A linear map and its way back: ``code = encode @ (patch - mean)``, ``patch = decode @ code + mean``."""

    mean: Float64[Tensor, " p"]
    encode: Float64[Tensor, "z p"]
    decode: Float64[Tensor, "p z"]
    spread: Float64[Tensor, " z"]
    """Standard deviation of each code channel over the training patches, largest first."""


def patches(x: Float[Tensor, "n c height width"], side: int) -> Float[Tensor, "m p"]:
    """Return all non-overlapping square patches as rows, in the order ``pixel_unshuffle`` gives their elements."""
    return functional.pixel_unshuffle(x, side).movedim(1, -1).flatten(0, 2)


def linear_code(rows: Float[Tensor, "m p"], latent_channels: int, weights: Float64[Tensor, " p"]) -> LinearCode:
    """Return the principal components of weighted patches; each component's largest loading is positive.

    The weights say how much an error in each element counts.
    """
    mean = rows.double().mean(dim=0)
    variances, axes = torch.linalg.eigh(_covariance((rows - mean) * weights))
    strongest = variances.argsort(descending=True)[:latent_channels]
    components = _oriented(axes[:, strongest].T)
    spread = variances[strongest].clamp(min=0).sqrt()
    return LinearCode(mean=mean, encode=components * weights, decode=(components / weights).T, spread=spread)


def _covariance(rows: Float64[Tensor, "m p"]) -> Float64[Tensor, "p p"]:
    return rows.T @ rows / len(rows)


def _oriented(components: Float64[Tensor, "z p"]) -> Float64[Tensor, "z p"]:
    largest = components.abs().argmax(dim=1, keepdim=True)
    return components * components.gather(1, largest).sign()
