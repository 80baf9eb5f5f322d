import pytest
import torch

from evaluation.volume_views import View, draw_volumes, middle_cuts

SPACING = (5.0, 2.0, 1.0)


def test_each_plane_shows_its_voxels_with_the_last_slice_on_top():
    """A volume whose voxel is 100 slice + 10 row + column."""
    z, h, w = torch.meshgrid(torch.arange(4), torch.arange(6), torch.arange(8), indexing="ij")
    within, by_rows, by_columns = middle_cuts(100 * z + 10 * h + w, SPACING)
    assert torch.equal(within.pixels, 200 + 10 * h[0] + w[0])
    assert by_rows.pixels[0].tolist() == [330 + column for column in range(8)]
    assert by_rows.pixels[:, 0].tolist() == [330, 230, 130, 30]
    assert by_columns.pixels[0].tolist() == [304 + 10 * row for row in range(6)]
    assert (within.aspect, by_rows.aspect, by_columns.aspect) == (2.0, 5.0, 2.5)


@pytest.mark.slow
def test_a_picture_shows_every_volume(tmp_path):
    from PIL import Image

    views = [View(f"{k}", torch.rand(4, 16, 16), torch.ones(4, 16, 16, dtype=torch.uint8), SPACING) for k in (0, 1)]
    heights = []
    for count in (1, 2):
        with Image.open(draw_volumes(views[:count], tmp_path / f"{count}.png")) as picture:
            heights.append(picture.height)
            assert len(set(picture.convert("L").tobytes())) > 50, "gray values are drawn"
    assert heights[1] > heights[0]


def test_a_picture_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs a volume"):
        draw_volumes([], tmp_path / "x.png")
