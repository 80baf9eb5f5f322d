"""The laws every extractor keeps, and where their weights may come from."""

import hashlib

import numpy as np
import pytest
import torch

from evaluation import EXTRACTORS, Extractor, FeatureSet, ImageSet, build_extractor, frechet_distance
from evaluation.features import inception, lite0
from evaluation.features.extractor import repeat_to_rgb


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """Write an Inception with weights drawn from a seed, as the release file is written."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save({}, path)
        network = FeatureExtractorInceptionV3("any", ["2048"], feature_extractor_weights_path=str(path))
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(params=sorted(EXTRACTORS))
def extractor(request):
    if request.param == "inception":
        path = request.getfixturevalue("inception_file")
        return inception.Inception(path, digest=hashlib.sha256(path.read_bytes()).hexdigest())
    return build_extractor(request.param)


@pytest.mark.slow
def test_a_row_is_the_same_at_any_batch_size(extractor, make_images):
    images = make_images(1, 5)
    alone, together = extractor.extract(images, batch_size=1), extractor.extract(images, batch_size=5)
    # float32 convolutions choose their order of summation by batch
    np.testing.assert_allclose(alone.rows, together.rows, rtol=1e-3, atol=1e-4 * np.abs(together.rows).max())


@pytest.mark.slow
def test_rows_carry_the_declared_width_name_and_patients(extractor, make_images):
    assert isinstance(extractor, Extractor)
    features = extractor.extract(make_images(1, 4, per_patient=2))
    assert isinstance(features, FeatureSet)
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
def test_loading_and_running_leave_global_randomness_alone(extractor, make_images):
    for module in (lite0.lite0_network, inception.inception_network):
        module.cache_clear()
    before = torch.get_rng_state()
    extractor.extract(make_images(1, 2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_the_network_rests_in_evaluation_mode_without_gradients():
    network = lite0.lite0_network(lite0.installed_weights(), "cpu")
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.slow
def test_lite0_sees_slight_noise_far_beyond_the_change_of_patients(make_images, add_noise):
    """With wrong or random weights both distances are alike."""
    extractor = build_extractor("lite0")
    real, others = make_images(1, 24), make_images(2, 24)
    features = [extractor.extract(images) for images in (real, others, add_noise(others, 0.03))]
    floor, noisy = (frechet_distance(features[0], part).point for part in features[1:])
    assert noisy > 5 * floor


@pytest.mark.slow
@pytest.mark.parametrize(("picture", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {504, 967})])
def test_the_weights_stand_in_their_places(picture, classes):
    """A cat is a tabby, tiger or Egyptian cat, and a cup of coffee a mug or an espresso, in ImageNet's numbering."""
    import skimage.data

    pixels = torch.from_numpy(getattr(skimage.data, picture)()).permute(2, 0, 1).unsqueeze(0).float() / 255
    side = min(pixels.shape[-2:])
    middle = pixels[..., (pixels.shape[-1] - side) // 2 :][..., :side, :side]
    network = lite0.lite0_network(lite0.installed_weights(), "cpu")
    assert int(network(lite0.prepare_lite0(middle)).argmax()) in classes


@pytest.mark.slow
def test_the_input_is_scaled_as_timm_declares():
    from timm.data import resolve_model_data_config

    declared = resolve_model_data_config(lite0.lite0_network(lite0.installed_weights(), "cpu"))
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


def test_a_changed_file_is_refused_before_it_is_opened(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match="SHA-256 57934424"):
        lite0.lite0_network(path, "cpu")
    with pytest.raises(ValueError, match="SHA-256 6726825d"):
        inception.inception_network(path, "cpu", inception.DIGEST)


def test_absent_inception_says_which_file_to_supply(tmp_path):
    for weights in (None, tmp_path / "missing.pth"):
        with pytest.raises(ValueError, match=r"weights-inception-2015-12-05-6726825d\.pth"):
            build_extractor("inception", weights)


def test_an_unknown_extractor_lists_the_known():
    with pytest.raises(ValueError, match="inception, lite0"):
        build_extractor("dino")


def test_two_channels_are_refused():
    with pytest.raises(ValueError, match="1 or 3 channels, but got 2"):
        repeat_to_rgb(torch.zeros(1, 2, 8, 8))
