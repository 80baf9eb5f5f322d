import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

from evaluation import ImageSet, draw_error_map, draw_grid, error_map, stand_alone


def damaged(real, rows, amount):
    images = real.images.clone()
    images[rows, :, 4, 7] += amount
    return ImageSet(images.clamp(0, 1), real.groups)


def test_the_maps_point_at_the_damaged_pixel():
    real = ImageSet(torch.full((40, 1, 12, 12), 0.5), torch.arange(40))
    errors = error_map(real, damaged(real, slice(0, 4), 0.4), worst=2)
    assert float(errors.mean[4, 7]) == pytest.approx(0.4 * 4 / 40, rel=1e-5)
    assert float(errors.mean.sum()) == pytest.approx(0.04, rel=1e-5), "no other pixel errs"
    # 4 of 40 err: the 95th percentile stands at position 37.05 of 0..39, among the damaged
    assert float(errors.high[4, 7]) == pytest.approx(0.4, rel=1e-5)


def test_the_worst_pairs_come_first(make_images):
    real = make_images(1, 6)
    images = real.images.clone()
    images[4] = 0
    images[2] *= 0.7
    errors = error_map(real, ImageSet(images, real.groups), worst=2)
    assert errors.worst.tolist() == [4, 2]
    torch.testing.assert_close(errors.triplets[0, 0], real.images[4, 0])
    torch.testing.assert_close(errors.triplets[0, 2], real.images[4, 0])


def test_the_drawing_is_a_png_with_a_color_bar(make_images, add_noise, tmp_path):
    real = make_images(1, 6)
    path = draw_error_map(error_map(real, add_noise(real, 0.1), worst=3), tmp_path / "errors.png")
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    bar = picture[100:300, -110:-40].reshape(-1, 3)
    colored = bar[bar.max(1) - bar.min(1) > 60]
    assert len(np.unique(colored // 16, axis=0)) > 20, "the right edge runs through the colors of the scale"


def test_the_mean_is_bright_where_it_is_highest_however_far_the_percentile_reaches(tmp_path):
    """One pair in ten errs by 0.5 everywhere on the left: the mean there is 0.05, the percentile 0.5."""
    real = ImageSet(torch.full((40, 1, 12, 12), 0.5), torch.arange(40))
    images = real.images.clone()
    images[:4, :, :, :6] = 0
    path = draw_error_map(error_map(real, ImageSet(images, real.groups), worst=0), tmp_path / "errors.png")
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    brightest = np.abs(picture - np.array([252, 253, 191])).max(2) < 3  # the upper end of magma
    maps = [int(half.sum()) for half in np.array_split(brightest, 2, axis=1)]
    assert min(maps) > 5000, "half of either map is at the upper end of its own scale"


def test_the_sides_are_called_what_they_are(make_images, add_noise, tmp_path, monkeypatch):
    real = make_images(1, 6)
    shown, draw_title = [], Axes.set_title
    monkeypatch.setattr(Axes, "set_title", lambda axes, text, **font: shown.append(text) or draw_title(axes, text))
    draw_error_map(error_map(real, add_noise(real, 0.1), worst=4), tmp_path / "a.png", sides=("real", "rebuilt"))
    assert shown[:2] == ["mean over the pairs", "95th percentile over the pairs"]
    assert shown.count("rebuilt") == 4
    assert sum(title.endswith(": real") for title in shown) == 4


def test_the_grid_shows_every_image_at_its_own_gray(tmp_path):
    grays = torch.linspace(0.1, 0.9, 5)
    path = draw_grid(stand_alone(grays.view(5, 1, 1, 1).expand(5, 1, 8, 8)), tmp_path / "grid.png", columns=3)
    picture = np.asarray(Image.open(path).convert("L")).astype(int)
    seen, counts = np.unique(picture, return_counts=True)
    for gray in grays.tolist():
        near = counts[np.abs(seen - 255 * gray) <= 2].sum()
        assert near > 0.05 * picture.size, f"a cell of gray {gray:.1f}"


def test_drawing_leaves_the_users_matplotlib_alone(make_images, tmp_path):
    import matplotlib

    before = matplotlib.rcParams["backend"]
    draw_grid(make_images(1, 2), tmp_path / "grid.png")
    assert matplotlib.rcParams["backend"] == before


def test_no_pair_is_shown_where_none_was_kept(tmp_path):
    dark, half = torch.zeros(8, 1, 12, 12), torch.full((8, 1, 12, 12), 0.5)
    errors = error_map(stand_alone(dark), stand_alone(half), worst=0)
    assert errors.triplets.shape == (0, 3, 12, 12)
    whole = draw_error_map(error_map(stand_alone(dark), stand_alone(half), worst=1), tmp_path / "whole.png")
    maps = draw_error_map(errors, tmp_path / "maps.png")
    with Image.open(maps) as small, Image.open(whole) as large:
        assert small.height < large.height / 2
