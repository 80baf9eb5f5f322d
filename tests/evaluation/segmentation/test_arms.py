import pytest
import torch

from evaluation.segmentation.arms import ARMS, Arm, find_arm, register
from evaluation.segmentation.pool import draw_batch
from evaluation.segmentation.types import LabelledSet

TRAINED = [name for name, arm in ARMS.items() if arm.tested_on == "real"]


def flat(n, gray):
    images = torch.full((n, 1, 4, 4), gray) + torch.arange(n)[:, None, None, None] / 1000
    return LabelledSet(images, torch.zeros(n, 4, 4, dtype=torch.uint8), torch.arange(n), ("tumor",))


def batches(name, *, ratio=1.0, steps=5):
    pool = ARMS[name].pool(flat(12, 0.1), flat(20, 0.8), ratio=ratio)
    return [draw_batch(pool, step, 7, batch=4) for step in range(1, steps + 1)]


def share_synthetic(name, *, ratio=1.0):
    images = torch.cat([draw.images for batch in batches(name, ratio=ratio) for draw in batch])
    return float((images > 0.5).float().mean())


@pytest.mark.parametrize(
    "name, ratio, share",
    [
        ("real", 1.0, 0.0),
        ("real+augmentation", 1.0, 0.0),
        ("real duplicated", 1.0, 0.0),
        ("real+synthetic", 1.0, 1 / 2),
        ("real+synthetic", 3.0, 3 / 4),
        ("real+synthetic+augmentation", 0.5, 1 / 3),
        ("synthetic", 1.0, 1.0),
    ],
)
def test_batches_hold_the_share_of_synthetic_slices_that_the_arm_says(name, ratio, share):
    assert share_synthetic(name, ratio=ratio) == pytest.approx(share)


@pytest.mark.parametrize("name", [name for name in TRAINED if ARMS[name].base == "real"])
def test_all_arms_on_real_slices_draw_the_same_real_slices(name):
    for mine, real in zip(batches(name), batches("real"), strict=True):
        torch.testing.assert_close(mine[0].images, real[0].images, rtol=0, atol=0)


def test_the_control_has_as_many_slices_in_each_batch_as_the_mixed_arm():
    for ratio in (0.5, 1.0, 2.0):
        sizes = [
            [sum(len(draw.images) for draw in batch) for batch in batches(name, ratio=ratio)]
            for name in ("real duplicated", "real+synthetic")
        ]
        assert sizes[0] == sizes[1] == [round(4 * (1 + ratio))] * 5


def test_the_slices_that_the_control_adds_are_other_draws():
    base, extra = batches("real duplicated")[0]
    assert not torch.equal(base.images, extra.images)


def test_synthetic_slices_are_drawn_alike_alone_and_beside_real_ones():
    for mixed, alone in zip(batches("real+synthetic"), batches("synthetic"), strict=False):
        assert mixed[1].stream == alone[0].stream
        torch.testing.assert_close(mixed[1].images, alone[0].images, rtol=0, atol=0)


def test_the_check_of_labels_shares_the_network_of_the_real_arm():
    check = ARMS["real tested on synthetic"]
    assert check.recipe() == ARMS["real"].recipe()
    assert check.needs_synthetic
    assert not check.trains_on_synthetic


def test_no_two_other_arms_share_a_network():
    assert len({tuple(ARMS[name].recipe().items()) for name in TRAINED}) == len(TRAINED)


def test_an_arm_without_its_slices_is_refused():
    with pytest.raises(ValueError, match=r"'real\+synthetic' must have synthetic slices to train on, but got none"):
        ARMS["real+synthetic"].pool(flat(3, 0.1), None, ratio=1.0)


def test_an_unknown_arm_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"unknown arm 'real\+synth' - did you mean 'real\+synthetic'\?"):
        find_arm("real+synth")


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="'real' is registered already"):
        register(Arm("real", base="synthetic"))
