"""The network of the benchmark, from segmentation_models_pytorch: first weights by seed, label maps by batch."""

import warnings
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from evaluation.features.weights import read_tensors, require_file
from evaluation.segmentation.seeding import derive_seed
from evaluation.segmentation.settings import SegmenterSettings, takes


class Segmenter(nn.Module):
    """Score each class in each pixel of images of any size."""

    def __init__(self, network: nn.Module, *, channels: int, multiple: int) -> None:
        """Wrap a network that takes ``channels`` channels and sides that ``multiple`` divides."""
        super().__init__()
        self.network, self.channels, self.multiple = network, channels, multiple

    def forward(self, images: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b k h w"]:
        """Return one score per class and pixel for images in [0, 1], which the network sees in [-1, 1]."""
        height, width = images.shape[2:]
        below, right = -height % self.multiple, -width % self.multiple
        padded = nn.functional.pad(2 * images - 1, (0, right, 0, below), mode="replicate")
        scores: Tensor = self.network(padded.expand(-1, self.channels, -1, -1))
        return scores[:, :, :height, :width]


def build_segmenter(settings: SegmenterSettings, classes: int, seed: int) -> Segmenter:
    """Return a segmenter whose first weights depend on settings, classes and seed alone, so that arms share them.

    Args:
        settings: of the network.
        classes: foreground classes; the background is one more.
        seed: of the first weights; those of ``encoder_weights`` do not depend on it.

    Raises:
        ValueError: library, architecture, encoder and options do not fit together, in its own words.
    """
    channels = 3 if settings.encoder_weights else 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        network = _create(settings, channels, classes + 1)
    if settings.encoder_weights:
        _load_encoder(network, settings)
    return Segmenter(network, channels=channels, multiple=2 ** (settings.depth or 5))


def predict(model: nn.Module, images: Float[Tensor, "n 1 h w"], *, batch: int = 64) -> UInt8[Tensor, "n h w"]:
    """Return the likeliest class of each pixel, on the CPU; the mode of the model is as before afterwards.

    Args:
        model: from images to scores.
        images: in [0, 1].
        batch: images at a time; it decides the memory, not the label maps.
    """
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    try:
        with torch.inference_mode():
            maps = [model(part.to(device)).argmax(1).to(torch.uint8).cpu() for part in torch.split(images, batch)]
    finally:
        model.train(was_training)
    return torch.cat(maps)


def _create(settings: SegmenterSettings, channels: int, scores: int) -> nn.Module:
    import segmentation_models_pytorch as smp

    options: dict[str, Any] = {"decoder_channels": settings.decoder_channels, "encoder_depth": settings.depth}
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if not takes(settings.architecture, name):
            raise ValueError(f"{settings.architecture} must be left without {name}, but got {given[name]}")
    try:
        with warnings.catch_warnings():
            # a renamed timm encoder still builds what was asked for
            warnings.filterwarnings("ignore", message=".*is deprecated.*")
            network: nn.Module = smp.create_model(
                settings.architecture,
                encoder_name=settings.encoder,
                encoder_weights=None,
                in_channels=channels,
                classes=scores,
                **given,
            )
    except (ValueError, NotImplementedError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{settings.architecture} must fit encoder {settings.encoder}, but: {reason}") from error
    return network


def _load_encoder(network: nn.Module, settings: SegmenterSettings) -> None:
    """Load a state dict that fits the encoder; what classifies images is left out."""
    file = require_file(settings.encoder_weights, extractor="a segmenter", file="state dict of its encoder")
    encoder = network.get_submodule("encoder")
    found = read_tensors(file)
    wanted = {name: value for name, value in encoder.state_dict().items() if not name.endswith("num_batches_tracked")}
    unfit = [name for name, value in wanted.items() if name not in found or found[name].shape != value.shape]
    if unfit:
        raise ValueError(
            f"{file.name} must hold the weights of {settings.encoder}, but {len(unfit)} of {len(wanted)} tensors are"
            f" missing or of another shape, such as {unfit[0]!r}"
        )
    nn.Module.load_state_dict(encoder, {name: found[name] for name in wanted}, strict=False)  # the counters stay
