import itertools
import math

import pytest
import torch

from evaluation.segmentation.settings import SegmenterSettings


@pytest.mark.slow  # it imports the library to know the names
@pytest.mark.parametrize(
    "field, name, near",
    [
        ("architecture", "UNet", "Unet"),
        ("architecture", "DeepLabV3+", "DeepLabV3"),
        ("encoder", "resnet81", "resnet18"),
        ("encoder", "tu-mobilenetv3_smal_050", "tu-mobilenetv3_small_050"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(field, name, near):
    with pytest.raises(ValueError, match=f"unknown {field} ") as refusal:
        SegmenterSettings(**{field: name, "decoder_channels": None})
    line = next(line for line in str(refusal.value).splitlines() if "unknown" in line)
    assert f"did you mean {near!r}?" in line


@pytest.mark.parametrize(
    "given, words",
    [
        ({"step": 10}, "Extra inputs are not permitted"),
        ({"dice_weight": 0, "cross_entropy_weight": 0}, "must be above 0, but both are 0"),
        ({"learning_rate": float("inf")}, "finite"),
        (
            {"depth": 4, "decoder_channels": (8, 8, 8)},
            r"must be 4 widths of 1 or more, as depth says, but got \(8, 8, 8\)",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        SegmenterSettings(**given)


@pytest.mark.slow  # it imports the library to know the options
def test_an_option_that_the_architecture_lacks_is_refused():
    with pytest.raises(ValueError, match=r"decoder_channels must be left out for FPN, but got \(8, 8, 8, 8, 8\)"):
        SegmenterSettings(architecture="FPN", depth=5, decoder_channels=(8, 8, 8, 8, 8))


def test_the_rate_rises_falls_by_a_cosine_and_never_ends():
    """By hand: 5 steps up, then half way through the other 95 + 1 the cosine is at its middle."""
    settings = SegmenterSettings(steps=100, learning_rate=0.01, schedule="cosine")
    rates = [settings.rate(step) for step in range(1, 101)]
    assert rates[:5] == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.01])
    assert rates[52] == pytest.approx(0.005)
    assert all(one > two > 0 for one, two in itertools.pairwise(rates[4:]))
    assert rates[-1] == pytest.approx(0.005 * (1 + math.cos(math.pi * 95 / 96)))


def test_a_constant_rate_stays():
    settings = SegmenterSettings(steps=40, learning_rate=0.01, schedule="constant")
    assert {settings.rate(step) for step in range(2, 41)} == {0.01}


def test_weights_are_named_by_content_not_by_path(tmp_path):
    files = [tmp_path / name for name in ("a.pt", "b.pt", "c.pt")]
    for file, value in zip(files, (0.0, 0.0, 1.0), strict=True):
        torch.save({"weight": torch.full((2,), value)}, tmp_path / "same.pt")
        (tmp_path / "same.pt").rename(file)
    one, same, other = (SegmenterSettings(encoder_weights=file).identity() for file in files)
    assert one == same != other
    assert SegmenterSettings().identity()["encoder_weights"] is None
