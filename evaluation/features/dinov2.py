"""DINOv2 (Oquab et al. 2023) from a local file: the class token, as torch-fidelity reads it from torch.hub.

The network is timm's; its position embeddings are resized as the authors' code does for 224 pixels.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from evaluation.features.extractor import EXTRACTORS
from evaluation.features.fidelity import describe_preparation, describe_scaling, prepare_bytes, to_bytes
from evaluation.features.pretrained import Pretrained
from evaluation.features.weights import require_file

SIDE, PATCH = 224, 14
OFFSET = 0.1  # which the authors add to the grid's side before they divide, against rounding
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WIDTHS = {"small": 384, "base": 768, "large": 1024, "giant": 1536}


def build_dinov2(size: str, weights: Path | None = None) -> Pretrained:
    """Return the class token, from a local copy of the authors' file or of timm's; no digest is published."""
    name = f"dinov2-vit-{size[0]}-14"
    file = f"dinov2_vit{size[0]}14_pretrain.pth (dl.fbaipublicfiles.com/dinov2/dinov2_vit{size[0]}14)"
    return Pretrained(
        name,
        WIDTHS[size],
        describe_preparation(SIDE, describe_scaling(MEAN, DEVIATION)),
        require_file(weights, extractor=name, file=file),
        "",
        BUILDERS[size],
        embed_dinov2,
    )


def dinov2_network(size: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Build timm's network for 224 pixels from tensors in the authors' names, or in timm's."""
    import timm

    network: nn.Module = timm.create_model(f"vit_{size}_patch14_dinov2", pretrained=False, img_size=SIDE)
    named = {_rename(key): value for key, value in tensors.items() if key != "mask_token"}  # seen in training alone
    named["pos_embed"] = resize_positions(named["pos_embed"], SIDE // PATCH)
    network.load_state_dict(named, strict=True)
    return network


BUILDERS = {size: partial(dinov2_network, size) for size in WIDTHS}  # made once: loaded networks are cached by builder

for _size in WIDTHS:
    EXTRACTORS[f"dinov2-vit-{_size[0]}-14"] = partial(build_dinov2, _size)


def embed_dinov2(network: nn.Module, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
    """Return the normalized class token."""
    return torch.as_tensor(network(prepare_bytes(to_bytes(images), SIDE, MEAN, DEVIATION)))


def resize_positions(positions: Float[Tensor, "1 n d"], side: int) -> Float[Tensor, "1 m d"]:
    """Resize the square grid of position embeddings to `side`, the class token's put aside.

    As the authors' `interpolate_pos_encoding`: bicubic without antialias, by the scale (side + 0.1) / old side.
    """
    token, grid = positions[:, :1], positions[:, 1:]
    old = round(grid.shape[1] ** 0.5)
    if old == side:
        return positions
    square = grid.float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    scale = (side + OFFSET) / old
    resized = nn.functional.interpolate(square, scale_factor=(scale, scale), mode="bicubic", antialias=False)
    return torch.cat([token.float(), resized.flatten(2).transpose(1, 2)], dim=1)


def _rename(key: str) -> str:
    """Name the giant's gated layers as timm does."""
    return re.sub(r"\.mlp\.w3\.", ".mlp.fc2.", re.sub(r"\.mlp\.w12\.", ".mlp.fc1.", key))
