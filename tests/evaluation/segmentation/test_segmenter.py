import pytest
import torch

from evaluation.segmentation.segmenter import Segmenter, build_segmenter, predict
from evaluation.segmentation.settings import SegmenterSettings

pytestmark = pytest.mark.slow  # segmentation_models_pytorch takes three seconds to import
SMALL = SegmenterSettings(encoder="tu-test_efficientnet", depth=3, decoder_channels=(16, 8, 8))


def images(n=5, height=32, width=32, seed=0):
    return torch.rand((n, 1, height, width), generator=torch.Generator().manual_seed(seed))


def same(first, second):
    return all(torch.equal(one, two) for one, two in zip(first.parameters(), second.parameters(), strict=True))


def test_first_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = build_segmenter(SMALL, 3, seed=4)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert same(first, build_segmenter(SMALL, 3, seed=4))
    assert torch.equal(torch.get_rng_state(), state)
    assert not same(first, build_segmenter(SMALL, 3, seed=5))


def test_a_label_map_is_the_same_at_any_batch_size():
    model = build_segmenter(SMALL, 3, seed=0).train()
    for _ in range(3):
        model(images(8, seed=9))  # statistics of the normalization move
    whole = predict(model, images(7), batch=7)
    assert len(whole.unique()) > 1
    for batch in (1, 2, 3):
        assert torch.equal(predict(model, images(7), batch=batch), whole)


def test_predicting_leaves_the_model_as_it_was():
    model = build_segmenter(SMALL, 3, seed=0).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    predict(model, images())
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_sides_that_the_network_cannot_halve_are_padded_and_cropped_back():
    model = build_segmenter(SMALL, 3, seed=0).eval()
    assert predict(model, images(2, 45, 33)).shape == (2, 45, 33)
    padded = torch.nn.functional.pad(images(2, 45, 33), (0, 7, 0, 3), mode="replicate")
    torch.testing.assert_close(model(images(2, 45, 33)), model(padded)[:, :, :45, :33])


@pytest.mark.parametrize("architecture", ["Unet", "UnetPlusPlus", "FPN", "Linknet", "DeepLabV3Plus", "MAnet"])
def test_any_architecture_scores_every_class_in_every_pixel(architecture):
    settings = SegmenterSettings(architecture=architecture, encoder="resnet18", decoder_channels=None, depth=None)
    scores = build_segmenter(settings, 4, seed=0).eval()(images(2, 64, 64))
    assert scores.shape == (2, 5, 64, 64)


def test_parts_that_do_not_fit_are_refused_in_one_line():
    settings = SegmenterSettings(architecture="UnetPlusPlus", encoder="mit_b0", decoder_channels=None, depth=None)
    with pytest.raises(ValueError, match="UnetPlusPlus must fit encoder mit_b0, but: ") as refusal:
        build_segmenter(settings, 3, seed=0)
    assert "\n" not in str(refusal.value)


def save_encoder(path, *, change=lambda state: state):
    donor = build_segmenter(SegmenterSettings(encoder="resnet18", decoder_channels=None, depth=None), 1, seed=11)
    state = dict(donor.network.encoder.state_dict())
    state["conv1.weight"] = torch.rand(64, 3, 7, 7)
    state["fc.weight"], state["fc.bias"] = torch.zeros(1000, 512), torch.zeros(1000)  # as torchvision's files have
    torch.save(change(state), path)
    return state


def with_weights(path):
    return SegmenterSettings(encoder="resnet18", decoder_channels=None, depth=None, encoder_weights=path)


def test_weights_of_the_encoder_are_loaded_and_gray_is_repeated(tmp_path):
    state = save_encoder(tmp_path / "resnet18.pth")
    model = build_segmenter(with_weights(tmp_path / "resnet18.pth"), 3, seed=0)
    loaded = model.network.encoder.state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in loaded if not name.endswith("num_batches_tracked"))
    gray = images(2)
    assert isinstance(model, Segmenter)
    model.eval()
    torch.testing.assert_close(model(gray), model.network(2 * gray.repeat(1, 3, 1, 1) - 1))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda state: {"other": torch.zeros(1)}, "tensors are missing or of another shape, such as 'conv1.weight'"),
        (lambda state: state | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, "1 of .* such as 'conv1.weight'"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, change, words):
    save_encoder(tmp_path / "other.pth", change=change)
    with pytest.raises(ValueError, match=words):
        build_segmenter(with_weights(tmp_path / "other.pth"), 3, seed=0)


def test_a_file_that_carries_code_is_refused(tmp_path):
    torch.save(SegmenterSettings, tmp_path / "code.pth")
    with pytest.raises(ValueError, match=r"code\.pth must hold a state dict of tensors alone"):
        build_segmenter(with_weights(tmp_path / "code.pth"), 3, seed=0)
