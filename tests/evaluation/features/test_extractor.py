"""The laws every extractor keeps."""

import hashlib

import numpy as np
import pytest
import torch

from evaluation import EXTRACTORS, Extractor, FeatureSet, ImageSet, build_extractor, stand_alone
from evaluation.features import pretrained
from evaluation.features.extractor import repeat_to_rgb

FAMILIES = [
    "lite0",
    "lite0_block",
    "inception",
    "clip-vit-b-32",
    "dinov2-vit-s-14",
]  # VGG16, half a gigabyte: test_fidelity


@pytest.fixture(params=FAMILIES)
def extractor(request, build):
    return build(request.param)


@pytest.mark.slow
def test_the_batch_size_changes_a_row_by_rounding_alone(extractor, make_images):
    images = make_images(1, 9)
    together = extractor.extract(images, batch_size=9)
    assert isinstance(together, FeatureSet)
    for size in (1, 7):
        apart = np.abs(extractor.extract(images, batch_size=size).rows - together.rows).max()
        assert apart <= pretrained.ROUNDING * np.abs(together.rows).max()


@pytest.mark.slow
def test_rows_carry_the_declared_width_name_and_patients(extractor, make_images):
    assert isinstance(extractor, Extractor)
    features = extractor.extract(make_images(1, 4, per_patient=2))
    assert (features.width, features.extractor) == (extractor.width, extractor.name)
    assert features.groups.tolist() == [0, 0, 1, 1]


@pytest.mark.slow
def test_gray_and_its_three_copies_have_one_row(extractor, make_images):
    gray = make_images(1, 3)
    color = ImageSet(gray.images.expand(-1, 3, -1, -1).contiguous(), gray.groups)
    np.testing.assert_array_equal(extractor.extract(gray).rows, extractor.extract(color).rows)


@pytest.mark.slow
def test_different_images_have_different_rows(extractor, make_images):
    rows = extractor.extract(make_images(1, 3)).rows
    assert np.abs(rows[0] - rows[1]).max() > 1e-3 * np.abs(rows).max()


@pytest.mark.slow
def test_the_preparation_names_the_side_and_the_rounding(extractor):
    """A hook on the first convolution sees the side; values between two of 256 levels show the rounding."""
    seen = []
    first = next(part for part in extractor.network.modules() if isinstance(part, torch.nn.Conv2d))
    hook = first.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape[1:])))
    rows = extractor.extract(stand_alone(torch.tensor([100.0, 100.4]).view(2, 1, 1, 1).expand(2, 1, 40, 40) / 255)).rows
    hook.remove()
    assert f" {seen[0][1]} x {seen[0][2]}" in extractor.preparation
    assert seen[0][0] == 3
    assert ("rounded to uint8" in extractor.preparation) == np.array_equal(rows[0], rows[1])


@pytest.mark.slow
def test_loading_and_running_leave_global_randomness_alone(extractor, make_images):
    pretrained._load.cache_clear()
    before = torch.get_rng_state()
    extractor.extract(make_images(1, 2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_the_network_rests_in_evaluation_mode_without_gradients(extractor):
    assert not any(module.training for module in extractor.network.modules())
    assert not any(parameter.requires_grad for parameter in extractor.network.parameters())


@pytest.mark.slow
def test_the_identity_ends_in_the_digest_of_the_weights(extractor):
    expected = hashlib.sha256(extractor.weights.read_bytes()).hexdigest()[:12]
    assert extractor.identity == f"{extractor.name}@{expected}"


@pytest.mark.parametrize("name", sorted(set(EXTRACTORS) - {"lite0", "lite0_block"}))
def test_absent_weights_name_the_file_and_the_setting_in_one_line(name, tmp_path):
    for weights in (None, tmp_path / "missing.pth"):
        with pytest.raises(ValueError, match=rf"^{name} needs a local .*evaluation\.weights.*got weights=.*\Z"):
            build_extractor(name, weights)


def test_all_of_torch_fidelitys_networks_are_registered():
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    assert set(FEATURE_EXTRACTORS_REGISTRY) - set(EXTRACTORS) == {"inception-v3-compat"}  # here `inception`


@pytest.mark.parametrize("name", ["dino", "os:system", "torchvision.models:resnet18"])
def test_an_unknown_extractor_lists_the_known(name):
    with pytest.raises(ValueError, match="inception, lite0, lite0_block"):
        build_extractor(name)


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match="1 or 3 channels, but got 2"):
        repeat_to_rgb(torch.zeros(1, 2, 8, 8))
