"""The transformer that the authors' tensors were trained in, written out from its formula."""

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, gelu, layer_norm

from evaluation import build_extractor
from evaluation.features.dinov2 import _rename, resize_positions
from evaluation.features.fidelity import to_bytes


def class_token(state, images, *, heads=6):
    """Return LayerNorm of the class token after all blocks (Oquab et al. 2023: ViT-S/14 with layer scale)."""
    side = images.shape[-1] // 14
    x = conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=14)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
    x = x + resize_positions(state["pos_embed"], side)
    for i in range(12):
        part = {key.removeprefix(f"blocks.{i}."): value for key, value in state.items() if f"blocks.{i}." in key}
        y = layer_norm(x, x.shape[-1:], part["norm1.weight"], part["norm1.bias"], 1e-6)
        q, k, v = (y @ part["attn.qkv.weight"].T + part["attn.qkv.bias"]).chunk(3, -1)
        q, k, v = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (q, k, v))
        y = ((q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + part["ls1.gamma"] * (y @ part["attn.proj.weight"].T + part["attn.proj.bias"])
        y = layer_norm(x, x.shape[-1:], part["norm2.weight"], part["norm2.bias"], 1e-6)
        y = gelu(y @ part["mlp.fc1.weight"].T + part["mlp.fc1.bias"])
        x = x + part["ls2.gamma"] * (y @ part["mlp.fc2.weight"].T + part["mlp.fc2.bias"])
    return layer_norm(x, x.shape[-1:], state["norm.weight"], state["norm.bias"], 1e-6)[:, 0]


@pytest.mark.slow
def test_rows_are_the_formulas_class_token(dinov2_file, make_images):
    """Images of 224 pixels, so that no resize stands between."""
    images = make_images(1, 2, 224)
    state = torch.load(dinov2_file, weights_only=True)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    prepared = (to_bytes(images.images).float() / 255 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    expected = class_token(state, prepared).double().numpy()
    rows = build_extractor("dinov2-vit-s-14", dinov2_file).extract(images).rows
    np.testing.assert_allclose(rows, expected, atol=1e-4 * np.abs(expected).max())  # float32, twelve blocks


def test_positions_of_the_same_grid_are_untouched():
    positions = torch.arange(5.0 * 3).view(1, 5, 3)
    assert resize_positions(positions, 2) is positions


def cubic(distance, a=-0.75):
    """Keys 1981, eq. 4, with torch's constant."""
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros(())))


def test_positions_are_read_where_the_authors_code_reads_them():
    """Pixel i of the new grid lies at (i + 1/2) 37 / 16.1 - 1/2 of the old: they divide by the side plus 0.1."""
    values = torch.randn(37, generator=torch.Generator().manual_seed(0))
    grid = values.view(1, 37, 1, 1).expand(1, 37, 37, 1).reshape(1, -1, 1)
    resized = resize_positions(torch.cat([torch.full((1, 1, 1), -7.0), grid], 1), 16)
    places = (torch.arange(16) + 0.5) * 37 / 16.1 - 0.5
    weights = cubic((places[:, None] - torch.arange(37.0)[None, :]).abs())
    assert resized[0, 0, 0] == -7
    inner = slice(1, -1)  # the outermost read beyond the edge
    torch.testing.assert_close(resized[0, 1:].view(16, 16)[inner, 3], (weights @ values)[inner], rtol=0, atol=1e-4)


def test_the_giants_gated_layers_have_timms_names():
    assert _rename("blocks.3.mlp.w12.weight") == "blocks.3.mlp.fc1.weight"
    assert _rename("blocks.3.mlp.w3.bias") == "blocks.3.mlp.fc2.bias"
