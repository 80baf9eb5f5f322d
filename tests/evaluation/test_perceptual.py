import importlib.util
from pathlib import Path

import pytest
import torch

from evaluation import lpips, perceptual, perceptual_distance
from evaluation.perceptual import load_lpips

# torchvision's layers whose output is compared: the last activation before each pooling, or each fire module
TAPS = {
    "alex": (1, 4, 7, 9, 11),
    "vgg": (3, 8, 15, 22, 29),
    "squeeze": (1, 4, 7, 9, 10, 11, 12),
}


@pytest.fixture(params=TAPS)
def backbone(request, tmp_path, monkeypatch):
    """Return a name, a file as torchvision writes it with weights drawn from a seed, and the convolutions."""
    from torchvision import models

    build = {"alex": models.alexnet, "squeeze": models.squeezenet1_1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if request.param == "vgg":  # its half gigabyte of classifier is not read
            features = models.vgg.make_layers(models.vgg.cfgs["D"]).eval()
            state = {f"features.{key}": value for key, value in features.state_dict().items()}
        else:
            network = build[request.param](weights=None).eval()
            features, state = network.features, network.state_dict()
    torch.save({**state, "classifier.0.bias": torch.zeros(3)}, tmp_path / "backbone.pth")
    monkeypatch.setitem(perceptual.DIGESTS, request.param, "")
    return request.param, tmp_path / "backbone.pth", features


def lpips_by_hand(name, features, first, second):
    """Zhang et al. 2018, eq. 1, on torchvision's layers and the heads in the wheel; images in [-1, 1]."""
    folder = Path(importlib.util.find_spec("lpips").origin).parent / "weights" / "v0.1"
    heads = torch.load(folder / f"{name}.pth", weights_only=True, map_location="cpu")
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x, y = ((each - shift.view(3, 1, 1)) / scale.view(3, 1, 1) for each in (first, second))
    total = torch.zeros(len(first))
    for layer, part in enumerate(features):
        x, y = part(x), part(y)
        if layer in TAPS[name]:
            unit = [each / (each.square().sum(1, keepdim=True).sqrt() + 1e-10) for each in (x, y)]
            weight = heads[f"lin{TAPS[name].index(layer)}.model.1.weight"]
            total += ((unit[0] - unit[1]).square() * weight).sum(1).mean((1, 2))
    return total


def test_lpips_without_weights_says_which_file_to_supply(make_images):
    real = make_images(1, 2, 64)
    with pytest.raises(ValueError, match=r"alexnet-owt-7be5be79\.pth"):
        lpips(real, real, weights=None)
    with pytest.raises(ValueError, match=r"vgg16-397923af\.pth.*evaluation\.lpips_weights"):
        lpips(real, real, weights=None, backbone="vgg")


def test_lpips_of_small_images_is_refused(make_images, tmp_path):
    real = make_images(1, 2, 32)
    with pytest.raises(ValueError, match="64 pixels"):
        lpips(real, real, weights=tmp_path / "any.pth")


@pytest.mark.slow
def test_lpips_is_the_papers_formula_on_the_supplied_backbone(make_images, add_noise, backbone):
    name, path, features = backbone
    real = make_images(1, 4, 64)
    generated = add_noise(real, 0.2)
    result = lpips(real, generated, weights=path, backbone=name)
    first, second = (2 * each.images.expand(-1, 3, -1, -1) - 1 for each in (real, generated))
    with torch.inference_mode():
        expected = float(lpips_by_hand(name, features, first, second).mean())
    assert expected > 0
    assert result.point == pytest.approx(expected, rel=1e-4)  # float32
    assert (result.name, result.extractor) == (f"lpips_{name}", name)
    assert "[-1, 1]" in result.note
    assert lpips(real, real, weights=path, backbone=name).point == 0


@pytest.mark.slow
def test_a_file_of_another_network_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(perceptual.DIGESTS, "alex", "")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"'features.0.weight' .*alexnet.* shape \(64, 3, 11, 11\), but has \(1,\)"):
        load_lpips(tmp_path / "other.pth", "alex")
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, tmp_path / "short.pth")
    with pytest.raises(ValueError, match=r"alexnet-owt.*not in the file"):
        load_lpips(tmp_path / "short.pth", "alex")


@pytest.mark.parametrize(("name", "digits"), [("alex", "7be5be79"), ("vgg", "397923af"), ("squeeze", "b8a52dc0")])
def test_a_backbone_with_another_digest_is_refused_before_it_is_opened(tmp_path, name, digits):
    (tmp_path / "weights.pth").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=f"must have SHA-256 {digits}"):
        load_lpips(tmp_path / "weights.pth", name)


@pytest.mark.slow
def test_the_distance_does_not_depend_on_the_batch_size(make_images, add_noise):
    real = make_images(1, 6)
    generated = add_noise(real, 0.1)
    alone, together = (perceptual_distance(real, generated, batch_size=size).point for size in (1, 6))
    assert alone == pytest.approx(together, rel=1e-4)  # float32 convolutions choose their order by batch


@pytest.mark.slow
def test_blur_is_farther_than_a_slight_change_of_brightness(make_images, add_noise):
    """The two have the same pixel error: a perceptual distance is there to tell them apart."""
    real = add_noise(make_images(1, 4, 64), 0.1)
    blurred = torch.nn.functional.avg_pool2d(real.images, 5, 1, 2, count_include_pad=False)
    error = (blurred - real.images).square().mean().sqrt()
    brighter = (real.images + error).clamp(0, 1)
    blur, shift = (perceptual_distance(real, type(real)(images, real.groups)).point for images in (blurred, brighter))
    assert blur > 2 * shift
