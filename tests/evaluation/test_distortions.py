import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from evaluation import ImageSet, stand_alone
from evaluation.distortions import add_noise, bend_contrast, blur, repeat_patients, shuffle_tiles


@pytest.fixture
def real(make_images):
    return make_images(1, 12)


@pytest.mark.parametrize("damage", [lambda x: add_noise(x, 0.1), shuffle_tiles, lambda x: repeat_patients(x, 2)])
def test_the_same_seed_does_the_same_damage_and_leaves_the_input_alone(real, damage):
    before = real.images.clone()
    assert torch.equal(damage(real).images, damage(real).images)
    assert torch.equal(real.images, before)
    assert not torch.equal(damage(real).images, before)


def test_noise_has_the_strength_it_is_asked_for():
    half = stand_alone(torch.full((4, 1, 64, 64), 0.5))
    noise = add_noise(half, 0.1).images - 0.5
    assert float(noise.std()) == pytest.approx(0.1, rel=0.02)  # 16384 draws: a standard error of 0.6 %
    assert float(noise.mean()) == pytest.approx(0, abs=0.003)
    assert not torch.equal(noise[0], noise[1])


def test_noise_stays_within_the_range():
    dark = stand_alone(torch.zeros(1, 1, 32, 32))
    noisy = add_noise(dark, 0.5).images
    assert 0 == float(noisy.min()) < float(noisy.max()) <= 1


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.0])
def test_blur_equals_scipy(real, sigma):
    expected = gaussian_filter(real.images[3, 0].double().numpy(), sigma, mode="mirror", radius=int(np.ceil(4 * sigma)))
    np.testing.assert_allclose(blur(real, sigma).images[3, 0], expected, atol=1e-6)


def test_gamma_keeps_black_and_white_and_can_be_undone(real):
    ends = stand_alone(torch.tensor([0.0, 1.0, 0.25]).view(3, 1, 1, 1).expand(3, 1, 4, 4))
    assert bend_contrast(ends, 0.5).images[:, 0, 0, 0].tolist() == [0, 1, 0.5]
    torch.testing.assert_close(bend_contrast(bend_contrast(real, 1.4), 1 / 1.4).images, real.images)


def test_tiles_move_as_wholes_and_each_image_in_its_own_order():
    numbers = torch.arange(16).view(4, 4).repeat_interleave(3, 0).repeat_interleave(3, 1) / 16
    shuffled = shuffle_tiles(stand_alone(numbers.expand(5, 1, 12, 12).clone()), 4)
    tiles = (shuffled.images * 16)[:, 0].unflatten(2, (4, 3)).unflatten(1, (4, 3))
    assert torch.equal(tiles, tiles[:, :, :1, :, :1].expand_as(tiles)), "no tile is torn"
    orders = tiles[:, :, 0, :, 0].flatten(1)
    assert torch.equal(orders.sort().values, torch.arange(16.0).expand(5, 16)), "no tile is lost"
    assert len(orders.unique(dim=0)) == 5


def test_a_tile_keeps_its_pixels_in_place():
    image = stand_alone(torch.rand(1, 2, 8, 12, generator=torch.Generator().manual_seed(0)))
    shuffled = shuffle_tiles(image, 2).images[0]
    corners = [image.images[0, :, a : a + 4, b : b + 6] for a in (0, 4) for b in (0, 6)]
    assert any(torch.equal(shuffled[:, :4, :6], corner) for corner in corners)


def test_repeating_two_patients_shows_no_other(real):
    collapsed = repeat_patients(real, 2)
    first = real.images[real.groups < 2]
    assert all(any(torch.equal(image, other) for other in first) for image in collapsed.images)
    assert len(collapsed) == len(real)
    assert collapsed.patients == len(real), "each image stands for itself, as a sample does"
    assert len(collapsed.images.unique(dim=0)) > 1


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda x: blur(x, 0.0), "above 0"),
        (lambda x: blur(x, 8.0), "less far"),
        (lambda x: bend_contrast(x, -1.0), "gamma must be above 0"),
        (lambda x: shuffle_tiles(x, 5), "must divide the image of 32 x 32"),
        (lambda x: repeat_patients(x, 7), "the 6 there are"),
    ],
)
def test_impossible_damage_is_refused(real, damage, words):
    with pytest.raises(ValueError, match=words):
        damage(real)


def test_the_patients_stay_with_their_images(real):
    for damaged in (add_noise(real, 0.1), blur(real, 1.0), bend_contrast(real, 0.7), shuffle_tiles(real)):
        assert isinstance(damaged, ImageSet)
        assert torch.equal(damaged.groups, real.groups)
