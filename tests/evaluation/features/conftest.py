"""Weights files of the true form, their numbers drawn from a seed."""

import pytest
import torch

from evaluation import build_extractor
from evaluation.features import inception, vgg16

DEPTH = 2  # blocks of the toy CLIP tower; its other sizes are the true ones


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory):
    """Write torch-fidelity's release file."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save({}, path)
        network = FeatureExtractorInceptionV3("any", ["2048"], feature_extractor_weights_path=str(path))
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def vgg16_file(tmp_path_factory):
    """Write torchvision's file."""
    import torchvision

    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.vgg16(weights=None)
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()  # half a gigabyte


@pytest.fixture(scope="session")
def clip_tower():
    """Return timm's network of CLIP ViT-B/32 with few blocks and weights that half precision holds."""
    return _draw("vit_base_patch32_clip_quickgelu_224", num_classes=512, depth=DEPTH).half().float()


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory, clip_tower):
    """Write timm's file of a tower, as safetensors."""
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(clip_tower.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def dinov2_file(tmp_path_factory):
    """Write the authors' file: for 518 pixels, with the token that training masks with."""
    path = tmp_path_factory.mktemp("weights") / "dinov2_vits14_pretrain.pth"
    network = _draw("vit_small_patch14_dinov2")
    torch.save({**network.state_dict(), "mask_token": torch.zeros(1, 384)}, path)
    return path


@pytest.fixture
def build(request, monkeypatch):
    """Build an extractor; where its weights are not installed, on those of this file."""
    for module in (inception, vgg16):
        monkeypatch.setattr(module, "DIGEST", "")
    files = {
        "inception": "inception_file",
        "vgg16": "vgg16_file",
        "clip-vit-b-32": "clip_file",
        "dinov2-vit-s-14": "dinov2_file",
    }
    return lambda name: build_extractor(name, request.getfixturevalue(files[name]) if name in files else None)


def _draw(name, **settings):
    """Return timm's network in which nothing is at its starting value, so that no part can be mistaken."""
    import timm

    generator = torch.Generator().manual_seed(0)
    network = timm.create_model(name, pretrained=False, **settings).eval().requires_grad_(False)
    for key, value in network.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        value.copy_(0.03 * noise + ("norm" in key and key.endswith("weight")) + 0.3 * ("gamma" in key))
    if "head.bias" in network.state_dict():
        network.state_dict()["head.bias"].zero_()  # CLIP projects without
    return network
