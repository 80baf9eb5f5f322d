import math

import pytest
import torch

from evaluation.segmentation.loss import segmentation_loss
from evaluation.segmentation.settings import SegmenterSettings


def settings(dice, entropy, form="linear"):
    return SegmenterSettings(dice_weight=dice, cross_entropy_weight=entropy, dice_form=form)


def some(seed=0, classes=3):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn((4, classes + 1, 8, 8), generator=generator)
    return scores, torch.randint(0, classes + 1, (4, 8, 8), generator=generator).byte()


@pytest.mark.parametrize("form", ["linear", "log"])
def test_the_loss_of_the_truth_is_zero(form):
    _, labels = some()
    sure = 100.0 * torch.nn.functional.one_hot(labels.long(), 4).movedim(-1, 1).float()
    assert float(segmentation_loss(sure, labels, settings(1, 1, form))) == pytest.approx(0, abs=1e-6)


def test_the_dice_of_two_pixels_is_that_by_hand():
    """Shares of the class 0.8 and 0.4 where it is and is not: Dice = 2 x 0.8 / (1 + 1.2)."""
    shares = torch.tensor([0.8, 0.4])
    scores = torch.stack([(1 - shares).log(), shares.log()])[None, :, None]
    labels = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    dice = 1.6 / 2.2
    assert float(segmentation_loss(scores, labels, settings(1, 0))) == pytest.approx(1 - dice)
    assert float(segmentation_loss(scores, labels, settings(2, 0, "log"))) == pytest.approx(-2 * math.log(dice))
    assert float(segmentation_loss(scores, labels, settings(0, 1))) == pytest.approx(-math.log(0.8 * 0.6) / 2)


@pytest.mark.slow  # it imports the library
@pytest.mark.parametrize("form", ["linear", "log"])
def test_the_dice_of_classes_that_are_there_is_that_of_the_library(form):
    from segmentation_models_pytorch.losses import DiceLoss

    scores, labels = some()
    theirs = DiceLoss("multiclass", classes=[1, 2, 3], log_loss=form == "log")(scores, labels.long())
    torch.testing.assert_close(segmentation_loss(scores, labels, settings(1, 0, form)), theirs)


@pytest.mark.parametrize("form", ["linear", "log"])
def test_a_class_that_the_batch_lacks_is_left_out_of_dice(form):
    scores, labels = some()
    labels[labels == 3] = 0
    scores[:, 3] = -100.0
    with_room = segmentation_loss(scores, labels, settings(1, 0, form))
    torch.testing.assert_close(with_room, segmentation_loss(scores[:, :3], labels, settings(1, 0, form)))


def test_a_batch_of_background_has_a_finite_gradient():
    scores = torch.zeros(2, 3, 4, 4, requires_grad=True)
    segmentation_loss(scores, torch.zeros(2, 4, 4, dtype=torch.uint8), settings(1, 1, "log")).backward()
    assert bool(torch.isfinite(scores.grad).all())


def test_a_class_that_is_surely_missed_still_pulls():
    scores = torch.zeros(1, 2, 2, 2)
    scores[:, 1] = -12.0
    scores.requires_grad_()
    segmentation_loss(scores, torch.ones(1, 2, 2, dtype=torch.uint8), settings(1, 0, "log")).backward()
    assert bool((scores.grad[:, 1] < -0.1).all())
