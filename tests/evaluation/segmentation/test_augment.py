import math

import pytest
import torch

from evaluation.segmentation.augment import AugmentSettings, augment

NOTHING = dict.fromkeys(AugmentSettings.model_fields, 0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n=6, size=32):
    """A bright square, the class 3, off the center, so that every motion shows."""
    labels = torch.zeros(n, size, size, dtype=torch.uint8)
    labels[:, 8:14, 16:24] = 3
    return (labels[:, None] > 0).float() * 0.6 + 0.2 * (labels[:, None] > 0), labels


def center(mask):
    return mask.nonzero().double().mean(0)


def test_zero_strength_changes_no_bit():
    images, labels = torch.rand(4, 1, 16, 16, generator=generator()), blobs(4, 16)[1]
    moved, classes = augment(images, labels, AugmentSettings(**NOTHING), generator())
    assert torch.equal(moved, images)
    assert torch.equal(classes, labels)


def test_a_bright_marker_and_its_label_move_together():
    settings = AugmentSettings(**{**NOTHING, "rotation_degrees": 30.0, "scale": 0.2, "shift": 0.1})
    images, labels = blobs(40)
    moved, classes = augment(images, labels, settings, generator())
    bright = moved[:, 0] > 0.4
    apart = [float((center(one) - center(two)).norm()) for one, two in zip(bright, classes == 3, strict=True)]
    assert max(apart) < 0.5  # pixels: one is read between pixels, the other at the nearest
    assert max(float((center(one) - center(labels[0] == 3)).norm()) for one in bright) > 3


def test_labels_stay_the_classes_they_were():
    _, labels = blobs()
    labels[:, 20:26, 4:9] = 1
    _, classes = augment(blobs()[0], labels, AugmentSettings(rotation_degrees=45, scale=0.3), generator())
    assert classes.dtype == torch.uint8
    assert set(classes.unique().tolist()) == {0, 1, 3}


def test_images_stay_in_range():
    settings = AugmentSettings(brightness=1, contrast=0.9, gamma=2, noise=1)
    moved, _ = augment(torch.rand(20, 1, 16, 16, generator=generator()), blobs(20, 16)[1], settings, generator())
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1


def test_the_generator_decides_everything():
    images, labels = blobs()
    state = torch.get_rng_state()
    first, again, other = (augment(images, labels, AugmentSettings(), generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_each_row_is_moved_in_its_own_way():
    moved, _ = augment(*blobs(), AugmentSettings(), generator())
    assert not torch.equal(moved[0], moved[1])


def test_a_sure_flip_is_the_mirror_image():
    images, labels = torch.rand(3, 1, 16, 16, generator=generator()), blobs(3, 16)[1]
    moved, classes = augment(images, labels, AugmentSettings(**{**NOTHING, "flip_probability": 1.0}), generator())
    torch.testing.assert_close(moved, images.flip(-1), rtol=0, atol=1e-5)  # the grid rounds at float32
    assert torch.equal(classes, labels.flip(-1))


def test_nothing_is_flipped_unless_asked():
    images, labels = torch.zeros(200, 1, 16, 16), torch.zeros(200, 16, 16, dtype=torch.uint8)
    labels[:, 6:10, 1:3] = 1  # far to the left
    _, classes = augment(images, labels, AugmentSettings(rotation_degrees=5), generator())
    assert not bool(classes[:, :, 8:].any())


def test_a_turn_keeps_lengths_in_oblong_images(monkeypatch):
    """A bar of 24 columns turned by a right angle is a bar of 24 rows: pixels are square, sides are not."""
    images, labels = torch.zeros(1, 1, 32, 64), torch.zeros(1, 32, 64, dtype=torch.uint8)
    labels[:, 14:18, 20:44] = 1
    monkeypatch.setattr(torch, "rand", lambda shape, generator: torch.ones(shape))  # the largest turn
    settings = AugmentSettings(**{**NOTHING, "rotation_degrees": 90.0})
    _, classes = augment(images, labels, settings, generator())
    rows, columns = classes[0].nonzero().T
    assert int(rows.max() - rows.min()) + 1 == 24
    assert int(columns.max() - columns.min()) + 1 == 4


def test_gamma_and_contrast_follow_their_formulas(monkeypatch):
    """With the luck at its end: (x + 0.5 (x - mean)) ** e, by hand for x = 0.2, 0.6, mean 0.4."""
    monkeypatch.setattr(torch, "rand", lambda shape, generator: torch.ones(shape))
    images = torch.tensor([0.2, 0.6]).repeat(1, 1, 2, 1)
    settings = AugmentSettings(**{**NOTHING, "contrast": 0.5, "gamma": 1.0})
    shaded, _ = augment(images, torch.zeros(1, 2, 2, dtype=torch.uint8), settings, generator())
    expected = torch.tensor([0.1**math.e, 0.7**math.e]).repeat(1, 1, 2, 1)
    torch.testing.assert_close(shaded, expected)


def test_two_strengths_share_their_luck():
    images, labels = blobs()
    sources = generator(), generator()
    augment(images, labels, AugmentSettings(**NOTHING), sources[0])
    augment(images, labels, AugmentSettings(), sources[1])
    assert torch.equal(sources[0].get_state(), sources[1].get_state())


@pytest.mark.parametrize("name, value", [("scale", 1.0), ("noise", -0.1), ("flip_probability", 1.5), ("zoom", 1.0)])
def test_settings_out_of_range_or_unknown_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        AugmentSettings(**{name: value})
