import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from evaluation import ImageSet, psnr, ssim
from evaluation.foreground import intensity_mask, keep_marked, label_mask
from evaluation.similarity import psnr_scores, ssim_map, ssim_scores


def flat(*values, size=12):
    images = torch.stack([torch.full((1, size, size), value) for value in values])
    return ImageSet(images, torch.arange(len(values)))


def test_psnr_of_a_constant_error_is_worked_by_hand():
    real, generated = flat(0.5, 0.5), flat(0.6, 0.51)
    assert psnr_scores(real, generated) == pytest.approx([20.0, 40.0], abs=1e-4)  # float32 pixels
    assert psnr(real, generated).point == pytest.approx(30.0, abs=1e-4)  # the mean of scores, not of errors


def test_ssim_of_flat_images_is_the_luminance_term_by_hand():
    expected = (2 * 0.5 * 0.25 + 1e-4) / (0.5**2 + 0.25**2 + 1e-4)
    assert ssim_scores(flat(0.5), flat(0.25)) == pytest.approx([expected], rel=1e-9)


@pytest.mark.parametrize("span", [1.0, 2.0])
def test_scores_equal_scikit_images(make_images, add_noise, span):
    real = make_images(1, 6, 40)
    generated = add_noise(real, 0.1)
    pairs = [(a.double().numpy()[0], b.double().numpy()[0]) for a, b in zip(real.images, generated.images, strict=True)]
    theirs = [
        structural_similarity(a, b, gaussian_weights=True, use_sample_covariance=False, sigma=1.5, data_range=span)
        for a, b in pairs
    ]
    np.testing.assert_allclose(ssim_scores(real, generated, data_range=span), theirs, rtol=1e-10)
    ratios = [peak_signal_noise_ratio(a, b, data_range=span) for a, b in pairs]
    np.testing.assert_allclose(psnr_scores(real, generated, data_range=span), ratios, rtol=1e-10)


def test_ssim_does_not_cancel_far_from_zero():
    """float32 gives 1.055 here, above the greatest possible value."""
    generator = torch.Generator().manual_seed(0)
    first = 1000 + torch.rand((1, 1, 20, 20), generator=generator, dtype=torch.float64)
    assert float(ssim_map(first, first + 0.1 * torch.rand(first.shape, generator=generator).double()).max()) <= 1


def test_a_wider_data_range_forgives_more(make_images, add_noise):
    real = make_images(1, 2)
    noisy = add_noise(real, 0.1)
    narrow, wide = (
        ssim_map(real.images.double(), noisy.images.double(), data_range=span).mean() for span in (1.0, 2.0)
    )
    assert narrow < wide


def test_psnr_adds_the_decibels_of_the_range():
    """Doubling the range adds 10 log10 4 decibels to every pair."""
    real, generated = flat(0.5, 0.5), flat(0.6, 0.51)
    wide, narrow = (psnr_scores(real, generated, data_range=span) for span in (2.0, 1.0))
    np.testing.assert_allclose(wide - narrow, 10 * np.log10(4), rtol=1e-12)
    assert ssim(real, generated, data_range=2.0).point > ssim(real, generated).point
    with pytest.raises(ValueError, match="data_range must be above 0"):
        ssim(real, generated, data_range=0.0)


def test_the_foreground_is_what_is_bright_and_what_it_encloses():
    images = torch.zeros(2, 1, 12, 12)
    images[0, 0, 2:7, 3:8] = 0.3
    images[0, 0, 4, 5] = 0  # a dark ventricle
    images[0, 0, 10, 10] = 0.05  # noise in the air
    expected = torch.zeros(12, 12, dtype=torch.bool)
    expected[2:7, 3:8] = True
    mask = intensity_mask(ImageSet(images, torch.arange(2)), above=0.1)
    assert torch.equal(mask[0], expected)
    assert not mask[1].any()
    expected[10, 10] = True
    assert torch.equal(intensity_mask(ImageSet(images, torch.arange(2)))[0], expected)


def test_every_class_is_foreground():
    assert label_mask(torch.tensor([[[0, 1], [3, 0]]], dtype=torch.uint8)).tolist() == [[[False, True], [True, False]]]


def test_pairs_without_foreground_are_left_out(make_images):
    real = make_images(1, 4)
    mask = torch.zeros(4, 32, 32, dtype=torch.bool)
    mask[1, 10:20, 10:20] = mask[2, 5, 5] = True
    first, second, kept = keep_marked(real, real, mask, pixels=100)
    assert torch.equal(first.images, real.images[1:2])
    assert torch.equal(second.groups, real.groups[1:2])
    assert torch.equal(kept, mask[1:2])
    with pytest.raises(ValueError, match="none of 4 does"):
        keep_marked(real, real, mask, pixels=101)


def test_a_wide_field_of_view_lifts_similarity_but_not_inside_the_foreground(make_images, add_noise):
    """Clean zeros around the same pair: 32 pixels become 64."""
    real = make_images(1, 6)
    generated = add_noise(real, 0.1)
    wide = [ImageSet(torch.nn.functional.pad(part.images, (16, 16, 16, 16)), part.groups) for part in (real, generated)]
    assert ssim(*wide).point > ssim(real, generated).point + 0.1
    mask = intensity_mask(wide[0])
    assert psnr(*wide, mask=mask).point == pytest.approx(psnr(real, generated).point, rel=1e-6)
    assert psnr(*wide).point > psnr(real, generated).point + 5


def test_a_mask_hides_errors_outside_it(make_images):
    real = make_images(1, 4)
    damaged = real.images.clone()
    damaged[:, :, :, 16:] = 0
    generated = ImageSet(damaged, real.groups)
    left = torch.zeros(4, 32, 32, dtype=torch.bool)
    left[:, :, :10] = True  # windows reach 5 pixels further
    assert np.isinf(psnr_scores(real, generated, mask=left)).all()
    assert ssim_scores(real, generated, mask=left) == pytest.approx(np.ones(4))
    assert ssim_scores(real, generated).max() < 0.9
    assert psnr(real, generated, mask=~left).note == "inside the mask"


def test_a_whole_mask_is_no_mask(make_images, add_noise):
    real = make_images(1, 3)
    generated, mask = add_noise(real, 0.1), torch.ones(3, 32, 32, dtype=torch.bool)
    np.testing.assert_allclose(ssim_scores(real, generated, mask=mask), ssim_scores(real, generated), rtol=1e-12)
    np.testing.assert_allclose(psnr_scores(real, generated, mask=mask), psnr_scores(real, generated), rtol=1e-12)


def test_an_empty_mask_is_refused(make_images):
    real = make_images(1, 2)
    with pytest.raises(ValueError, match="2 mark none"):
        psnr(real, real, mask=torch.zeros(2, 32, 32, dtype=torch.bool))


def test_identical_pairs_are_counted_and_left_out_of_the_mean():
    result = psnr(flat(0.5, 0.5, 0.5), flat(0.5, 0.6, 0.6))
    assert result.point == pytest.approx(20.0, abs=1e-4)
    assert "1 of 3 pairs are identical" in result.note


def test_a_perfect_copy_has_infinite_psnr_and_no_interval():
    result = psnr(flat(0.5, 0.2), flat(0.5, 0.2))
    assert math.isinf(result.point)
    assert result.low is None
    assert result.high is None


def test_pairs_must_match_in_shape_and_patients(make_images):
    real = make_images(1, 4)
    with pytest.raises(ValueError, match="one shape"):
        ssim(real, make_images(1, 5))
    with pytest.raises(ValueError, match="same patients"):
        ssim(real, ImageSet(real.images, real.groups.flip(0)))


def test_an_image_below_the_window_is_refused():
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(flat(0.5, 0.2, size=10), flat(0.5, 0.2, size=10))
