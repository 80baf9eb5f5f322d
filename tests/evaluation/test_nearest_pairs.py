from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation import ImageSet, stand_alone
from evaluation.nearest_pairs import _describe, draw_nearest_pairs
from evaluation.pixel_copies import pixel_memorization


@pytest.fixture
def audited(make_images):
    """Sample 0 is training slice 3, flipped and moved down by one."""
    train, held_out = make_images(1, 8), make_images(2, 6)
    copy = train.images[3:4].flip(-1).roll(1, 2)
    generated = stand_alone(torch.cat([copy, make_images(4, 5).images]))
    return pixel_memorization(train, held_out, generated), train, generated


def test_a_copy_leaves_no_difference_and_a_fresh_slice_does(audited, tmp_path):
    copy = draw_nearest_pairs(*audited, tmp_path / "copy.png", worst=1)
    audit, train, generated = audited
    others = draw_nearest_pairs(
        replace(audit, pairs=tuple(pair for pair in audit.pairs if pair.generated)),
        train,
        generated,
        tmp_path / "o.png",
    )
    assert _colored(copy) < 0.01
    assert _colored(others) > 0.05
    with Image.open(copy) as narrow, Image.open(others) as wide:
        assert wide.width - narrow.width == pytest.approx(2 * 230, abs=2), (
            "five columns, and the three of the least width"
        )


def _colored(path):
    """Measure the share of colored pixels left of the color bar in the lower third, where differences stand."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    lower = picture[-250:-20, : int(0.8 * picture.shape[1])]
    return ((lower.max(2) - lower.min(2)) > 60).mean()


def test_words_say_how_the_training_slice_was_moved():
    assert _describe(True, 3, -5) == "flipped, 3 down, 5 left"
    assert _describe(False, -1, 2) == "1 up, 2 right"
    assert _describe(False, 0, 0) == "as it is"


def test_slices_that_were_not_audited_are_refused(audited, tmp_path):
    audit, train, generated = audited
    fewer = ImageSet(train.images[:5], train.groups[:5])
    with pytest.raises(ValueError, match="the audit is of 8 real slices, but got 5"):
        draw_nearest_pairs(audit, fewer, generated, tmp_path / "pairs.png")
