import pytest
import torch

from evaluation import lpips, perceptual_distance
from evaluation.perceptual import load_lpips


@pytest.fixture
def alexnet(tmp_path):
    """Return a file as torchvision writes it, with weights drawn from a seed, and the network."""
    torchvision = pytest.importorskip("torchvision")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.alexnet(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "alexnet.pth")
    return tmp_path / "alexnet.pth", network


def test_lpips_without_weights_says_which_file_to_supply(make_images):
    real = make_images(1, 2, 64)
    with pytest.raises(ValueError, match=r"alexnet-owt-7be5be79\.pth"):
        lpips(real, real, weights=None)
    with pytest.raises(ValueError, match=r"vgg16-397923af\.pth"):
        lpips(real, real, weights=None, backbone="vgg")


def test_lpips_of_small_images_is_refused(make_images, tmp_path):
    real = make_images(1, 2, 32)
    with pytest.raises(ValueError, match="64 pixels"):
        lpips(real, real, weights=tmp_path / "any.pth")


@pytest.mark.slow
def test_lpips_uses_the_supplied_backbone_and_the_heads_of_its_wheel(make_images, add_noise, alexnet):
    path, network = alexnet
    real = make_images(1, 4, 64)
    generated = add_noise(real, 0.2)
    loaded = load_lpips(path, "alex")
    x = loaded.scaling_layer(2 * real.images.expand(-1, 3, -1, -1) - 1)
    torch.testing.assert_close(loaded.net(x).relu5, network.features[:12](x))
    first = (loaded.lin0.model[1].weight, loaded.lin4.model[1].weight)
    assert all(bool((weight >= 0).all()) and float(weight.std()) > 0 for weight in first), (
        "trained heads, none negative"
    )
    result = lpips(real, generated, weights=path)
    assert result.name == "lpips_alex"
    assert result.point > lpips(real, real, weights=path).point == 0


@pytest.mark.slow
def test_a_file_of_another_network_is_refused(make_images, tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"alexnet-owt.*not in the file"):
        load_lpips(tmp_path / "other.pth", "alex")


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
