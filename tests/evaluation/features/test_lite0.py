"""Where the weights of EfficientNet-Lite0 stand, and what they see."""

import numpy as np
import pytest
import torch

from evaluation import build_extractor, frechet_distance
from evaluation.features import lite0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lite0", "lite0_block"])
def test_lite0_sees_slight_noise_far_beyond_the_change_of_patients(name, make_images, add_noise):
    """With wrong or random weights both distances are alike."""
    extractor = build_extractor(name)
    real, others = make_images(1, 24), make_images(2, 24)
    features = [extractor.extract(images) for images in (real, others, add_noise(others, 0.03))]
    floor, noisy = (frechet_distance(features[0], part).point for part in features[1:])
    assert noisy > 5 * floor


@pytest.mark.slow
def test_the_block_is_what_the_head_receives_averaged_over_pixels(make_images):
    images, network = make_images(1, 3), lite0.build_lite0().network
    seen = []
    hook = network.conv_head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    build_extractor("lite0").extract(images)
    hook.remove()
    rows = build_extractor("lite0_block").extract(images).rows
    expected = torch.nn.functional.adaptive_avg_pool2d(seen[0], 1).flatten(1).double().numpy()
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)  # float32 means


@pytest.mark.slow
def test_both_extractors_take_their_columns_of_one_pass(make_images):
    images = make_images(1, 3)
    head, block = (build_extractor(name) for name in ("lite0", "lite0_block"))
    assert (head.pass_identity, head.preparation) == (block.pass_identity, block.preparation)
    assert head.identity != block.identity
    rows = head.run_pass(images)
    np.testing.assert_array_equal(np.hstack([head.extract(images).rows, block.extract(images).rows]), rows)
    expected = head.network(lite0.prepare_lite0(images.images))  # timm's own way to the classes
    np.testing.assert_allclose(head.network.classifier(torch.from_numpy(rows[:, :1280]).float()), expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("picture", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {504, 967})])
def test_the_weights_stand_in_their_places(picture, classes):
    """A cat is a tabby, tiger or Egyptian cat, and a cup of coffee a mug or an espresso, in ImageNet's numbering."""
    import skimage.data

    pixels = torch.from_numpy(getattr(skimage.data, picture)()).permute(2, 0, 1).unsqueeze(0).float() / 255
    side = min(pixels.shape[-2:])
    middle = pixels[..., (pixels.shape[-1] - side) // 2 :][..., :side, :side]
    assert int(lite0.build_lite0().network(lite0.prepare_lite0(middle)).argmax()) in classes


@pytest.mark.slow
def test_the_input_is_scaled_as_timm_declares():
    from timm.data import resolve_model_data_config

    declared = resolve_model_data_config(lite0.build_lite0().network)
    prepared = lite0.prepare_lite0(torch.full((1, 3, 20, 20), 0.8))
    expected = (0.8 - torch.tensor(declared["mean"])) / torch.tensor(declared["std"])
    torch.testing.assert_close(prepared.mean((0, 2, 3)), expected)
    assert prepared.shape[1:] == declared["input_size"]
    assert declared["interpolation"] == "bicubic"


def test_every_name_of_the_wheel_has_its_place():
    names = ["_conv_stem.weight", "_bn1.bias", "_fc.bias", "_blocks.0._project_conv.weight", "_blocks.15._bn2.weight"]
    assert list(lite0.rename_weights(dict.fromkeys(names, 0))) == [
        "conv_stem.weight",
        "bn2.bias",
        "classifier.bias",
        "blocks.0.0.conv_pw.weight",
        "blocks.6.0.bn3.weight",
    ]


@pytest.mark.parametrize("name", ["lite0", "lite0_block"])
def test_a_missing_file_is_named_in_one_line(name, tmp_path):
    with pytest.raises(ValueError, match=rf"^{name} needs a local efficientnet-lite0-57934424.*weights=.*\Z"):
        build_extractor(name, tmp_path / "none.pth")
