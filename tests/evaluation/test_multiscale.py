import math

import numpy as np
import pytest
import torch
from monai.metrics import MultiScaleSSIMMetric
from scipy.signal import convolve2d

from evaluation import ImageSet, stand_alone
from evaluation.multiscale import ms_ssim, ms_ssim_scores, scale_weights
from evaluation.similarity import local_terms, ssim_scores

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # copied from the paper, not from the code


def pair(size, *, seed=0, n=3, width=None):
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand((n, 1, size, width or size), generator=generator, dtype=torch.float64)
    second = (first + 0.3 * torch.randn(first.shape, generator=generator)).clamp(0, 1)
    return stand_alone(first), stand_alone(second)


def oracle(first, second, scales):
    """Follow the paper literally in numpy: dense 11 x 11 convolutions, symmetric padding before the 2 x 2 mean."""
    offsets = np.arange(-5, 6)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    score = 1.0
    for scale in range(scales):
        means = [convolve2d(image, kernel, "valid") for image in (first, second)]
        spreads = [
            convolve2d(image**2, kernel, "valid") - mean**2 for image, mean in zip((first, second), means, strict=True)
        ]
        shared = convolve2d(first * second, kernel, "valid") - means[0] * means[1]
        contrast = (2 * shared + 0.03**2) / (spreads[0] + spreads[1] + 0.03**2)
        luminance = (2 * means[0] * means[1] + 0.01**2) / (means[0] ** 2 + means[1] ** 2 + 0.01**2)
        value = (contrast if scale < scales - 1 else contrast * luminance).mean()
        score *= max(value, 0) ** weights[scale]
        first, second = (
            convolve2d(np.pad(image, ((0, 1), (0, 1)), "symmetric"), np.full((2, 2), 0.25), "valid")[::2, ::2]
            for image in (first, second)
        )
    return score


@pytest.mark.parametrize("size, width, scales", [(11, 20, 1), (33, 40, 2), (64, 64, 3), (67, 45, 3), (96, 101, 4)])
def test_scores_equal_a_literal_reading_of_the_paper(size, width, scales):
    real, generated = pair(size, width=width, n=2)
    expected = [oracle(a.numpy()[0], b.numpy()[0], scales) for a, b in zip(real.images, generated.images, strict=True)]
    np.testing.assert_allclose(ms_ssim_scores(real, generated), expected, rtol=1e-10)


@pytest.mark.parametrize("size", [64, 176])
def test_scores_equal_monai(size):
    real, generated = pair(size)
    theirs = MultiScaleSSIMMetric(
        2, data_range=1.0, weights=tuple(scale_weights(size, size).tolist()), reduction="none"
    )
    expected = theirs(real.images, generated.images).flatten().double().numpy()
    np.testing.assert_allclose(ms_ssim_scores(real, generated), expected, atol=1e-5)  # they round to float32


@pytest.mark.parametrize(
    "size, scales", [(11, 1), (20, 1), (21, 2), (40, 2), (41, 3), (64, 3), (96, 4), (160, 4), (176, 5), (512, 5)]
)
def test_there_are_as_many_scales_as_the_window_fits_into(size, scales):
    weights = scale_weights(size, 2 * size)
    assert len(weights) == scales
    assert float(weights.sum()) == pytest.approx(1)
    ratios = weights / weights[0]
    torch.testing.assert_close(ratios, torch.tensor(WEIGHTS[:scales], dtype=torch.float64) / WEIGHTS[0])


def test_the_note_says_how_many_scales_there_are():
    assert ms_ssim(*pair(64)).note == "whole slice; 3 scales of 5, their weights made to sum to 1"
    assert ms_ssim(*pair(176)).note == "whole slice; 5 scales"


def test_with_one_scale_it_is_plain_similarity():
    real, generated = pair(18)
    np.testing.assert_allclose(ms_ssim_scores(real, generated), ssim_scores(real, generated), rtol=1e-12)


def test_luminance_counts_at_the_coarsest_scale_alone():
    """Flat images have contrast 1 at every scale: what is left is the luminance to the last weight."""
    first, second = (stand_alone(torch.full((1, 1, 64, 64), value)) for value in (0.5, 0.25))
    luminance = (2 * 0.5 * 0.25 + 1e-4) / (0.5**2 + 0.25**2 + 1e-4)
    last = 0.3001 / (0.0448 + 0.2856 + 0.3001)
    assert ms_ssim_scores(first, second) == pytest.approx([luminance**last], rel=1e-7)


def test_opposite_structure_scores_zero_and_is_counted():
    real, _ = pair(64)
    generated = ImageSet(1 - real.images, real.groups)
    contrast = local_terms(real.images, generated.images).contrast
    assert float(contrast.mean()) < 0, "a negative number has no real power of 0.07"
    assert ms_ssim_scores(real, generated).tolist() == [0, 0, 0]
    assert "3 of 3 pairs have opposite structure" in ms_ssim(real, generated).note


def test_a_whole_mask_is_no_mask():
    real, generated = pair(65)
    whole = torch.ones(3, 65, 65, dtype=torch.bool)
    np.testing.assert_allclose(ms_ssim_scores(real, generated, mask=whole), ms_ssim_scores(real, generated), rtol=1e-12)


def test_a_mask_hides_errors_beyond_the_reach_of_the_coarsest_window():
    real, generated = pair(64)
    hidden = torch.cat([real.images[..., :48], generated.images[..., 48:]], dim=-1)
    left = torch.zeros(3, 64, 64, dtype=torch.bool)
    left[:, 24:40, 20:26] = True  # at a quarter of the size the window reaches 5 x 4 = 20 pixels, and a block of 4
    masked = ms_ssim(real, ImageSet(hidden, real.groups), mask=left)
    assert masked.point == pytest.approx(1)
    assert masked.note.startswith("inside the mask")
    assert ms_ssim(real, ImageSet(hidden, real.groups)).point < 0.98


def test_a_mask_at_the_rim_has_no_window_at_the_coarsest_scale():
    real, generated = pair(64)
    rim = torch.zeros(3, 64, 64, dtype=torch.bool)
    rim[:, :18] = True  # windows of 11 at a quarter of the size have their centers in rows 20 to 43
    with pytest.raises(ValueError, match="3 mark none"):
        ms_ssim(real, generated, mask=rim)


def test_a_wider_data_range_forgives_more():
    real, generated = pair(64)
    assert ms_ssim(real, generated, data_range=2.0).point > ms_ssim(real, generated).point


def test_the_batch_does_not_matter():
    real, generated = pair(22, n=70)
    one = ms_ssim_scores(stand_alone(real.images[66:67]), stand_alone(generated.images[66:67]))
    assert math.isclose(ms_ssim_scores(real, generated)[66], one[0], rel_tol=1e-12)


def test_an_image_below_the_window_is_refused():
    with pytest.raises(ValueError, match="11 pixels"):
        ms_ssim(*pair(10))
