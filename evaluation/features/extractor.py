"""One protocol for everything that turns images into feature rows, and the registry of its members."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from evaluation.types import FeatureSet, ImageSet


@runtime_checkable
class Extractor(Protocol):
    """A frozen network: images in, one float64 row per image out.

    Its name becomes part of every metric's name, for numbers from two extractors never compare.
    """

    @property
    def name(self) -> str:
        """Name the network; the metrics carry it."""
        ...

    @property
    def width(self) -> int:
        """Count the features of one row."""
        ...

    @property
    def preparation(self) -> str:
        """Say what is done to an image before the network: channels, rounding, resize, normalization."""
        ...

    @property
    def identity(self) -> str:
        """Name the extractor and its weights, `name@digest`."""
        ...

    @property
    def pass_identity(self) -> str:
        """Name one pass of the network: extractors that share it and the preparation take columns of the same rows."""
        ...

    @property
    def columns(self) -> slice:
        """Say which columns of a pass are this extractor's features."""
        ...

    def run_pass(self, images: ImageSet, batch_size: int = 64) -> Float64[np.ndarray, "n w"]:
        """Return every column that one pass of the network yields; what `extract` returns are its `columns`."""
        ...

    def extract(self, images: ImageSet, batch_size: int = 64) -> FeatureSet:
        """Return one row per image; the batch size changes a row by rounding alone."""
        ...


EXTRACTORS: dict[str, Callable[[Path | None], Extractor]] = {}


def build_extractor(name: str, weights: Path | None = None) -> Extractor:
    """Build a registered extractor; `weights` names a local file where none is installed."""
    if name not in EXTRACTORS:
        raise ValueError(f"extractor must be one of {', '.join(sorted(EXTRACTORS))}, but got {name!r}")
    return EXTRACTORS[name](weights)


def repeat_to_rgb(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 3 h w"]:
    """Repeat a gray channel three times; three channels pass."""
    if images.shape[1] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels, but got {images.shape[1]}; select the channel to judge")
    return images.expand(-1, 3, -1, -1)


def rows_in_batches(
    images: ImageSet, embed: Callable[[Float[Tensor, "b c h w"]], Tensor], *, batch_size: int
) -> Float64[np.ndarray, "n w"]:
    """Run a network over batches of 1 or 3 channels without gradient and collect its rows in float64."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, but got {batch_size=}")
    repeat_to_rgb(images.images)  # refuses other channels before the network is run
    with torch.inference_mode():
        rows = [embed(part.float()).double().cpu() for part in torch.split(images.images, batch_size)]
    return np.asarray(torch.cat(rows).numpy())
