"""Inception v3 as torch-fidelity ports it: the features behind the FID of published tables."""

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from evaluation.features.extractor import EXTRACTORS, check_digest, rows_in_batches
from evaluation.types import FeatureSet, ImageSet

FILE = "weights-inception-2015-12-05-6726825d.pth"
DIGEST = "6726825d"  # the file's own name carries the first eight digits of its SHA-256


@dataclass(frozen=True)
class Inception:
    """The 2048 pooled features of inception-v3-compat.

    Gray is repeated to three channels and rounded to 8 bits; the network resizes to 299 x 299
    bilinearly without antialias, as TensorFlow 1 did.
    """

    weights: Path
    device: str = "cpu"
    digest: str = DIGEST
    name: str = "inception"
    width: int = 2048

    def extract(self, images: ImageSet, batch_size: int = 64) -> FeatureSet:
        """Return one row per image."""
        network = inception_network(self.weights, self.device, self.digest)

        def embed(part: Float[Tensor, "b 3 h w"]) -> Tensor:
            (rows,) = network((part * 255).round().to(torch.uint8).to(self.device))
            return torch.as_tensor(rows)

        return rows_in_batches(images, embed, batch_size=batch_size, extractor=self.name)


def build_inception(weights: Path | None = None) -> Inception:
    """Take the weights from a local copy of torch-fidelity's release file."""
    if weights is None or not weights.is_file():
        raise ValueError(f"inception needs a local {FILE} (torch-fidelity release v0.2.0), but got {weights=}")
    return Inception(weights)


EXTRACTORS["inception"] = build_inception


@cache
def inception_network(weights: Path, device: str, digest: str) -> nn.Module:
    """Check the digest, read tensors only, and hand torch-fidelity's unpickling loader a file of our own writing."""
    check_digest(weights, digest)
    state = torch.load(weights, weights_only=True, map_location="cpu")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        copy = Path(folder) / "tensors.pth"
        torch.save(state, copy)
        network: nn.Module = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(copy)
        )
    return network.eval().requires_grad_(False).to(device)
