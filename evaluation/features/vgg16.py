"""VGG16 (ImageNet) as torch-fidelity uses it: the 4096 activations before the classifier."""

from pathlib import Path

from torch import Tensor, nn

from evaluation.features.extractor import EXTRACTORS
from evaluation.features.fidelity import describe_preparation, describe_scaling, embed_bytes, own_copy
from evaluation.features.pretrained import Pretrained
from evaluation.features.weights import require_file

FILE = "vgg16-397923af.pth"
DIGEST = "397923af"  # the file's own name carries the first eight digits of its SHA-256
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build_vgg16(weights: Path | None = None) -> Pretrained:
    """Return torch-fidelity's layer fc2_relu, from a local copy of torchvision's file."""
    file = require_file(weights, extractor="vgg16", file=f"{FILE} (download.pytorch.org/models)")
    preparation = describe_preparation(224, describe_scaling(MEAN, DEVIATION))
    return Pretrained("vgg16", 4096, preparation, file, DIGEST, vgg16_network, embed_bytes)


EXTRACTORS["vgg16"] = build_vgg16


def vgg16_network(tensors: dict[str, Tensor]) -> nn.Module:
    """Build torch-fidelity's network from torchvision's tensors."""
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    def load(path: str) -> nn.Module:
        network: nn.Module = FeatureExtractorVGG16("vgg16", ["fc2_relu"], feature_extractor_weights_path=path)
        return network

    return own_copy(tensors, load)
