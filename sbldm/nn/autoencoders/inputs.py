"""What an autoencoder reads and writes: image channels in [-1, 1], then one channel of -1 or 1 per class."""

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor
from torch.nn import functional

from sbldm.nn.autoencoders.base import AutoencoderSpec, Posterior

RAREST = 1e-3  # variance of a channel that is 1 on one pixel of 4000 and -1 elsewhere


def pack(images: Float[Tensor, "b i h w"], labels: UInt8[Tensor, "b h w"], classes: int) -> Float[Tensor, "b c h w"]:
    """Return images and labels as channels; the background (class 0) needs none."""
    present = labels[:, None] == torch.arange(1, classes, device=labels.device)[None, :, None, None]
    return torch.cat([images, present.to(images.dtype) * 2 - 1], dim=1)


def unpack(x: Float[Tensor, "b c h w"], classes: int) -> tuple[Float[Tensor, "b i h w"], UInt8[Tensor, "b h w"]]:
    """Return images clamped to [-1, 1] and, per pixel, the strongest class, the background included."""
    images, scores = torch.split(x, [x.shape[1] - (classes - 1), classes - 1], dim=1)
    return images.clamp(-1, 1), with_background(scores).argmax(dim=1).to(torch.uint8)


def with_background(scores: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
    """Return the class scores behind the background's.

    Scores of one pixel over all classes sum to what one present class of 1 and absent ones of -1 sum to. Scores that
    least squares has fitted are 2 p - 1 of each class's probability p, and so then is the background's: the strongest
    is the likeliest, even where no class is as likely as not.
    """
    background = (1 - scores.shape[1]) - scores.sum(dim=1, keepdim=True)
    return torch.cat([background, scores], dim=1)


def class_weights(labels: Float[Tensor, "n k h w"], balance: float) -> Float64[Tensor, " k"]:
    """Return the weight of each label channel, variance ** -balance with mean 1 over the classes that occur.

    A class that never occurs has weight 1, and one on fewer than 1 of 4000 pixels counts as if it were on so many.
    """
    variance = 1 - labels.double().mean(dim=(0, 2, 3)).square()  # of a channel of -1 and 1
    weights = torch.where(variance > 0, variance.clamp_min(RAREST) ** -balance, torch.nan)
    return (weights / weights.nanmean()).nan_to_num(1.0)


def reconstruction_loss(
    decoded: Float[Tensor, "b c h w"],
    x: Float[Tensor, "b c h w"],
    classes: int,
    spec: AutoencoderSpec,
    weights: Float64[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:
    """Return the image's mean squared error plus the weighted label term; ``weights`` of classes have mean 1."""
    images = x.shape[1] - (classes - 1)
    loss = functional.mse_loss(decoded[:, :images], x[:, :images])
    if classes == 1 or spec.label_weight == 0:
        return loss
    return loss + spec.label_weight * _label_loss(decoded[:, images:], x[:, images:], spec, weights)


def _label_loss(
    scores: Float[Tensor, "b k h w"],
    truth: Float[Tensor, "b k h w"],
    spec: AutoencoderSpec,
    weights: Float64[Tensor, " k"] | None,
) -> Float[Tensor, ""]:
    each = scores.new_ones(scores.shape[1]) if weights is None else weights.to(scores)
    if spec.label_loss == "mse":
        return ((scores - truth).square().mean(dim=(0, 2, 3)) * each).mean()
    classes = with_background(truth).argmax(dim=1)
    found = functional.cross_entropy(with_background(scores), classes, reduction="none")
    return (found * functional.pad(each, (1, 0), value=1.0)[classes]).mean()


def autoencoder_loss(
    decoded: Float[Tensor, "b c h w"],
    x: Float[Tensor, "b c h w"],
    posterior: Posterior,
    *,
    classes: int,
    spec: AutoencoderSpec,
    step: int,
    weights: Float64[Tensor, " k"] | None = None,
) -> Float[Tensor, ""]:
    """Return reconstruction plus divergence, whose weight rises over the first ``kl_warmup_steps`` steps."""
    rise = min(1.0, step / spec.kl_warmup_steps) if spec.kl_warmup_steps else 1.0
    return reconstruction_loss(decoded, x, classes, spec, weights) + spec.kl_weight * rise * posterior.divergence()
