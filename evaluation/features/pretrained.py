"""A network with weights from a file as an extractor: the one class behind all that are registered."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from evaluation.features.extractor import rows_in_batches
from evaluation.features.weights import SHOWN, check_digest, read_tensors
from evaluation.types import FeatureSet, ImageSet

ROUNDING = (
    1e-5  # of the largest feature: float32 convolutions sum in an order that depends on the batch; lite0 errs by 8e-7
)
Build = Callable[[dict[str, Tensor]], nn.Module]
Embed = Callable[[nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class Pretrained:
    """A network built from a file of tensors.

    Args:
        preparation: what is done to an image before the network.
        pinned: first digits of the file's published SHA-256; empty where none is published.
        build: makes the network from the file's tensors, by their names, strictly.
        embed: turns images in [0, 1], gray or RGB, into one row each; it does what `preparation` says.
        columns: of the row that are this extractor's features; another extractor may take others of the same pass.
        shared: name of the pass, the same for all extractors that take columns of it; its own name by default.
        digest: SHA-256 of the file, taken and checked before anything is read.
    """

    name: str
    width: int
    preparation: str
    weights: Path
    pinned: str
    build: Build
    embed: Embed
    columns: slice = field(default_factory=lambda: slice(None), hash=False)
    shared: str = ""
    device: str = "cpu"
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", check_digest(self.weights, self.pinned))

    @property
    def identity(self) -> str:
        """Name the network and its weights."""
        return f"{self.name}@{self.digest[:SHOWN]}"

    @property
    def pass_identity(self) -> str:
        """Name one pass of the network."""
        return f"{self.shared or self.name}@{self.digest[:SHOWN]}"

    @property
    def network(self) -> nn.Module:
        """Return the network, loaded once, in evaluation mode and without gradients."""
        return _load(self.build, self.weights, self.digest, self.device)

    def extract(self, images: ImageSet, batch_size: int = 64) -> FeatureSet:
        """Return one row per image; another batch size changes a row by at most `ROUNDING`."""
        rows = np.ascontiguousarray(self.run_pass(images, batch_size)[:, self.columns])
        return FeatureSet(rows, images.groups.cpu().numpy().astype(np.int64), self.name)

    def run_pass(self, images: ImageSet, batch_size: int = 64) -> Float64[np.ndarray, "n w"]:
        """Return every column of each image's row."""
        network = self.network

        def embed(part: Float[Tensor, "b c h w"]) -> Tensor:
            return self.embed(network, part.to(self.device))

        return rows_in_batches(images, embed, batch_size=batch_size)


@cache
def _load(build: Build, weights: Path, digest: str, device: str) -> nn.Module:
    check_digest(weights, digest)  # the file may have changed since
    tensors = read_tensors(weights)
    try:
        with torch.random.fork_rng(devices=[]):  # libraries draw weights, only to be replaced
            network = build(tensors)
    except (RuntimeError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{weights.name} must hold the tensors of this network, but they do not fit: {reason}"
        ) from error
    return network.eval().requires_grad_(False).to(device)
