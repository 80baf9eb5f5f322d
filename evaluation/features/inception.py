"""Inception v3 as torch-fidelity ports it: the features behind the FID of published tables."""

from pathlib import Path

from torch import Tensor, nn

from evaluation.features.extractor import EXTRACTORS
from evaluation.features.fidelity import describe_preparation, embed_bytes, own_copy
from evaluation.features.pretrained import Pretrained
from evaluation.features.weights import require_file

FILE = "weights-inception-2015-12-05-6726825d.pth"
DIGEST = "6726825d"  # the file's own name carries the first eight digits of its SHA-256


def build_inception(weights: Path | None = None) -> Pretrained:
    """Return the 2048 pooled features of inception-v3-compat, from a local copy of torch-fidelity's release file."""
    file = require_file(weights, extractor="inception", file=f"{FILE} (torch-fidelity release v0.2.0)")
    preparation = describe_preparation(299, "(x - 128) / 128")
    return Pretrained("inception", 2048, preparation, file, DIGEST, inception_network, embed_bytes)


EXTRACTORS["inception"] = build_inception


def inception_network(tensors: dict[str, Tensor]) -> nn.Module:
    """Build torch-fidelity's network from the release file's tensors."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    def load(path: str) -> nn.Module:
        network: nn.Module = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=path
        )
        return network

    return own_copy(tensors, load)
