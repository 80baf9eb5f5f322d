"""What an autoencoder reads and writes: image channels in [-1, 1], then one channel of -1 or 1 per class."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from sbldm.nn.autoencoders.base import AutoencoderSpec, Posterior


def pack(images: Float[Tensor, "b i h w"], labels: UInt8[Tensor, "b h w"], classes: int) -> Float[Tensor, "b c h w"]:
    """Return images and labels as channels; the background (class 0) needs none."""
    present = labels[:, None] == torch.arange(1, classes, device=labels.device)[None, :, None, None]
    return torch.cat([images, present.to(images.dtype) * 2 - 1], dim=1)


def unpack(x: Float[Tensor, "b c h w"], classes: int) -> tuple[Float[Tensor, "b i h w"], UInt8[Tensor, "b h w"]]:
    """Return images clamped to [-1, 1] and, per pixel, the strongest class: background where none is above 0."""
    images, scores = torch.split(x, [x.shape[1] - (classes - 1), classes - 1], dim=1)
    return images.clamp(-1, 1), with_background(scores).argmax(dim=1).to(torch.uint8)


def with_background(scores: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
    """Return the class scores behind a background score of 0, halfway between absent and present."""
    return functional.pad(scores, (0, 0, 0, 0, 1, 0))


def reconstruction_loss(
    decoded: Float[Tensor, "b c h w"], x: Float[Tensor, "b c h w"], classes: int, spec: AutoencoderSpec
) -> Float[Tensor, ""]:
    """Return the image's mean squared error plus the weighted label term."""
    images = x.shape[1] - (classes - 1)
    loss = functional.mse_loss(decoded[:, :images], x[:, :images])
    if classes == 1 or spec.label_weight == 0:
        return loss
    return loss + spec.label_weight * _label_loss(decoded[:, images:], x[:, images:], spec)


def _label_loss(
    scores: Float[Tensor, "b k h w"], truth: Float[Tensor, "b k h w"], spec: AutoencoderSpec
) -> Float[Tensor, ""]:
    if spec.label_loss == "mse":
        return functional.mse_loss(scores, truth)
    return functional.cross_entropy(with_background(scores), with_background(truth).argmax(dim=1))


def autoencoder_loss(
    decoded: Float[Tensor, "b c h w"],
    x: Float[Tensor, "b c h w"],
    posterior: Posterior,
    *,
    classes: int,
    spec: AutoencoderSpec,
    step: int,
) -> Float[Tensor, ""]:
    """Return reconstruction plus divergence, whose weight rises over the first ``kl_warmup_steps`` steps."""
    rise = min(1.0, step / spec.kl_warmup_steps) if spec.kl_warmup_steps else 1.0
    return reconstruction_loss(decoded, x, classes, spec) + spec.kl_weight * rise * posterior.divergence()
