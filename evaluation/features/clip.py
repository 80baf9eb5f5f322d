"""CLIP's image tower (Radford et al. 2021) from a local state dict, in the network that torch-fidelity ports.

OpenAI publishes TorchScript archives, which are code and are refused. Accepted are tensors in OpenAI's
names (`visual.conv1.weight`) and, for the transformers, in those of timm's `vit_*_clip_*.openai` files.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from evaluation.features.extractor import EXTRACTORS
from evaluation.features.fidelity import describe_preparation, describe_scaling, prepare_bytes, to_bytes
from evaluation.features.pretrained import Pretrained
from evaluation.features.weights import require_file

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Tower(NamedTuple):
    """What tells the published towers apart: features, pixels per side, side of the first convolution."""

    width: int
    side: int
    kernel: int


TOWERS = {
    "clip-rn50": Tower(1024, 224, 3),
    "clip-rn101": Tower(512, 224, 3),
    "clip-rn50x4": Tower(640, 288, 3),
    "clip-rn50x16": Tower(768, 384, 3),
    "clip-rn50x64": Tower(1024, 448, 3),
    "clip-vit-b-32": Tower(512, 224, 32),
    "clip-vit-b-16": Tower(512, 224, 16),
    "clip-vit-l-14": Tower(768, 224, 14),
    "clip-vit-l-14-336px": Tower(768, 336, 14),
}
_TO_OPENAI = (
    (r"^patch_embed\.proj\.", "conv1."),
    (r"^pos_embed$", "positional_embedding"),
    (r"^cls_token$", "class_embedding"),
    (r"^norm_pre\.", "ln_pre."),
    (r"^norm\.", "ln_post."),
    (r"^head\.weight$", "proj"),
    (r"^blocks\.", "transformer.resblocks."),
    (r"\.norm([12])\.", r".ln_\1."),
    (r"\.attn\.qkv\.", ".attn.in_proj_"),
    (r"\.attn\.proj\.", ".attn.out_proj."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)


def build_clip(name: str, weights: Path | None = None) -> Pretrained:
    """Return the projected image features, from a local state dict; no digest of one is published."""
    file = "state dict of OpenAI's archive as safetensors, or timm's model.safetensors of the .openai tower"
    tower = TOWERS[name]
    return Pretrained(
        name,
        tower.width,
        describe_preparation(tower.side, describe_scaling(MEAN, DEVIATION)),
        require_file(weights, extractor=name, file=file),
        "",
        BUILDERS[name],
        partial(embed_clip, tower.side),
    )


def clip_network(name: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Build torch-fidelity's image tower; it rounds weights to half precision, in which they were published."""
    from torch_fidelity.feature_extractor_clip import build_model

    named = {key: value for key, value in _to_openai(tensors).items() if key.startswith("visual.")}
    width = _width(named)
    found = Tower(width, 0, named["visual.conv1.weight"].shape[-1])
    network: nn.Module = build_model({**named, "text_projection": torch.empty(0, width)}, torch.float32).visual
    found = found._replace(side=int(network.input_resolution))  # type: ignore[arg-type]
    if found != TOWERS[name]:
        raise ValueError(f"{name} must be {TOWERS[name]}, but the file holds {found}")
    return network


BUILDERS = {name: partial(clip_network, name) for name in TOWERS}  # made once: loaded networks are cached by builder

for _name in TOWERS:
    EXTRACTORS[_name] = partial(build_clip, _name)


def embed_clip(side: int, network: nn.Module, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
    """Return the projected features of each image."""
    return torch.as_tensor(network(prepare_bytes(to_bytes(images), side, MEAN, DEVIATION)))


def _width(named: Mapping[str, Tensor]) -> int:
    if "visual.proj" in named:
        return named["visual.proj"].shape[1]
    return named["visual.attnpool.c_proj.weight"].shape[0]


def _to_openai(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate timm's names and shapes of a transformer; OpenAI's pass."""
    if "patch_embed.proj.weight" not in tensors:
        return dict(tensors)
    if bool(tensors.get("head.bias", torch.zeros(1)).any()):
        raise ValueError("the projection of CLIP has no bias, but head.bias is not zero; supply the .openai tower")
    reshape = {"pos_embed": (0,), "cls_token": (0, 0)}
    named = {}
    for key, value in tensors.items():
        if key == "head.bias":
            continue
        value = value.T if key == "head.weight" else value[reshape[key]] if key in reshape else value
        for pattern, name in _TO_OPENAI:
            key = re.sub(pattern, name, key)
        named[f"visual.{key}"] = value
    return named
