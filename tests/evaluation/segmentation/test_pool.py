import pytest
import torch

from evaluation.segmentation.pool import Part, Pool, draw_batch, draw_rows
from evaluation.segmentation.types import LabelledSet


def numbered(n, *, first=0, names=("tumor",), size=4):
    """Slice i is flat at gray value i / 100, so that a drawn image says which row it was."""
    values = (first + torch.arange(n)) / 100
    images = values[:, None, None, None].expand(n, 1, size, size).clone()
    return LabelledSet(images, torch.zeros(n, size, size, dtype=torch.uint8), torch.arange(n), names)


def dealt(pool, steps, *, seed=0, batch=4, part=0):
    images = [draw_batch(pool, step, seed, batch=batch)[part].images for step in range(1, steps + 1)]
    return (torch.cat(images)[:, 0, 0, 0] * 100).round().int().tolist()


def test_every_row_is_dealt_once_before_any_is_dealt_again():
    pool = Pool((Part("real", numbered(10)),))
    rows = dealt(pool, 5)  # 20 slices: two decks of 10, cut across a batch
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10] != rows[10:]


def test_a_batch_larger_than_the_part_deals_several_decks():
    rows = draw_rows(3, count=8, step=1, seed=0, stream="real").tolist()
    assert sorted(rows[:3]) == sorted(rows[3:6]) == [0, 1, 2]


def test_a_step_deals_the_same_whatever_was_asked_before():
    pool = Pool((Part("real", numbered(10)),))
    assert dealt(pool, 7)[-4:] == (draw_batch(pool, 7, 0, batch=4)[0].images[:, 0, 0, 0] * 100).round().int().tolist()


def test_another_seed_and_another_stream_deal_otherwise():
    rows = [draw_rows(50, count=20, step=1, seed=seed, stream=name) for seed, name in ((0, "a"), (1, "a"), (0, "b"))]
    assert len({tuple(each.tolist()) for each in rows}) == 3


def test_a_second_part_leaves_the_draws_of_the_first_alone():
    base = Part("real", numbered(10))
    alone, beside = Pool((base,)), Pool((base, Part("synthetic", numbered(30, first=50), 2.0)))
    assert dealt(alone, 6) == dealt(beside, 6)
    assert min(dealt(beside, 6, part=1)) >= 50


@pytest.mark.parametrize("ratio, count", [(1.0, 6), (0.5, 3), (2.0, 12), (0.01, 1)])
def test_the_ratio_counts_slices_for_each_slice_of_the_batch(ratio, count):
    pool = Pool((Part("real", numbered(10)), Part("synthetic", numbered(5), ratio)))
    assert [len(draw.images) for draw in draw_batch(pool, 1, 0, batch=6)] == [6, count]


@pytest.mark.parametrize(
    "other, words",
    [
        (numbered(3, names=("lesion",)), "must have the same classes"),
        (numbered(3, size=8), "must have the same rows and columns"),
    ],
)
def test_parts_that_cannot_share_a_batch_are_refused(other, words):
    with pytest.raises(ValueError, match=words):
        Pool((Part("real", numbered(3)), Part("synthetic", other)))


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("inf"), float("nan")])
def test_a_ratio_of_nothing_is_refused(ratio):
    with pytest.raises(ValueError, match="ratio must be above 0 and finite"):
        Part("synthetic", numbered(3), ratio)


def test_an_empty_pool_is_refused():
    with pytest.raises(ValueError, match="must have a part"):
        Pool(())
