"""torch-fidelity's CLIP tower, fed from tensors, against timm's own network."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from evaluation import build_extractor
from evaluation.features import clip
from evaluation.features.fidelity import prepare_bytes, to_bytes


def to_openai(tower):
    """Rename timm's tensors by the inverse of timm's own reader; its names are unique, so the reverse is too."""
    swaps = [
        ("patch_embed.proj", "conv1"),
        ("norm_pre", "ln_pre"),
        ("blocks.", "transformer.resblocks."),
        ("norm1", "ln_1"),
        ("norm2", "ln_2"),
        ("attn.qkv.", "attn.in_proj_"),
        ("attn.proj", "attn.out_proj"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
    ]
    state = {}
    for key, value in tower.state_dict().items():
        for timm_name, name in swaps:
            key = key.replace(timm_name, name)
        state[key] = value
    state.pop("head.bias")
    state["proj"] = state.pop("head.weight").T.contiguous()
    state["positional_embedding"] = state.pop("pos_embed")[0]
    state["class_embedding"] = state.pop("cls_token").flatten()
    state = {key.replace("norm.", "ln_post."): value for key, value in state.items()}
    return {f"visual.{key}": value.contiguous() for key, value in state.items()}


@pytest.mark.slow
def test_both_names_of_the_tensors_give_the_rows_of_timms_network(tmp_path, make_images, clip_tower, clip_file):
    from timm.models.vision_transformer import checkpoint_filter_fn

    renamed = to_openai(clip_tower)
    back = checkpoint_filter_fn(dict(renamed), clip_tower)
    assert all(torch.equal(back[key], value) for key, value in clip_tower.state_dict().items()), "timm reads them"
    save_file({**renamed, "logit_scale": torch.ones(1)}, tmp_path / "openai.safetensors")
    images = make_images(1, 3)
    prepared = prepare_bytes(to_bytes(images.images), 224, clip.MEAN, clip.DEVIATION)
    expected = clip_tower(prepared).double().numpy()
    for path in (clip_file, tmp_path / "openai.safetensors"):
        rows = build_extractor("clip-vit-b-32", path).extract(images).rows
        np.testing.assert_allclose(rows, expected, atol=1e-5 * np.abs(expected).max())  # float32 attention


@pytest.mark.slow
def test_a_tower_of_another_size_is_refused(clip_file, make_images):
    with pytest.raises(ValueError, match=r"clip-vit-b-16 must be .*kernel=16.* holds .*kernel=32"):
        build_extractor("clip-vit-b-16", clip_file).extract(make_images(1, 1, per_patient=1))


def test_a_bias_after_the_projection_is_refused():
    with pytest.raises(ValueError, match="no bias"):
        clip.clip_network("clip-vit-b-32", {"patch_embed.proj.weight": torch.ones(1), "head.bias": torch.ones(1)})


@pytest.mark.slow
def test_a_convolutional_tower_takes_openais_names(tmp_path, make_images):
    """RN50 with one block a stage; its rows against those of the network whose tensors were saved."""
    from torch_fidelity.feature_extractor_clip import CLIPVisual

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CLIPVisual(1024, 224, (1, 1, 1, 1), 64, None).half().float().eval()
    save_file(network.state_dict(), tmp_path / "rn50.safetensors")
    images = make_images(1, 2)
    rows = build_extractor("clip-rn50", tmp_path / "rn50.safetensors").extract(images).rows
    with torch.inference_mode():
        expected = network.visual(prepare_bytes(to_bytes(images.images), 224, clip.MEAN, clip.DEVIATION))
    np.testing.assert_allclose(rows, expected.double().numpy(), atol=1e-5 * float(expected.abs().max()))
    assert set(load_file(tmp_path / "rn50.safetensors")) == {f"visual.{key}" for key in network.visual.state_dict()}
