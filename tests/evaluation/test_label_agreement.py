import doctest
import math

import numpy as np
import pytest
import torch
from scipy.spatial import distance

from evaluation import label_agreement
from evaluation.label_agreement import average_patients, dice_scores, label_dice, label_shares, share_gaps

NAMES = ("gm", "wm", "lesion")


def maps(seed, n=12, size=16, *, classes=3, patient_spread=0.0):
    """Draw label maps of two slices per patient; patients may differ in how much of each class they have."""
    random = np.random.default_rng(seed)
    groups = np.arange(n) // 2
    odds = 1 + patient_spread * random.random((groups.max() + 1, 1, 1))
    drawn = (random.random((n, size, size)) * (classes + 1) / odds[groups]).astype(np.uint8)
    return torch.from_numpy(drawn), torch.from_numpy(groups)


def test_dice_is_that_of_scipy_over_all_slices_of_a_patient():
    (truth, groups), (found, _) = maps(0), maps(1)
    scores = dice_scores(truth, found, groups, classes=3)
    for patient in range(6):
        for kind in (1, 2, 3):
            first, second = ((part[groups == patient] == kind).numpy().ravel() for part in (truth, found))
            assert scores[patient, kind - 1] == pytest.approx(1 - distance.dice(first, second), rel=1e-12)


def test_dice_of_a_map_with_itself_is_one_and_sides_may_be_swapped():
    (truth, groups), (found, _) = maps(0), maps(1)
    assert (dice_scores(truth, truth, groups, classes=3) == 1).all()
    assert np.array_equal(dice_scores(truth, found, groups, classes=3), dice_scores(found, truth, groups, classes=3))


def test_the_order_of_slices_is_irrelevant():
    (truth, groups), (found, _) = maps(0), maps(1)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    before = label_dice(truth, found, groups, names=NAMES)
    assert label_dice(truth[order], found[order], groups[order], names=NAMES) == before


def test_a_class_in_neither_map_is_undefined_and_one_in_either_is_zero():
    """Three patients of one slice: without the class, with it in the truth alone, with it in both."""
    truth, found = (torch.zeros(3, 4, 4, dtype=torch.uint8) for _ in range(2))
    truth[1:, 0], found[2, 0] = 1, 1
    scores = dice_scores(truth, found, torch.arange(3), classes=1)[:, 0]
    assert np.isnan(scores[0])
    assert scores[1:].tolist() == [0, 1]
    (result,) = label_dice(truth, found, torch.arange(3), names=("gm",))
    assert result.point == 0.5
    assert result.n == {"patients": 2, "without_score": 1}
    assert result.note is not None
    assert "1 of 3 patients" in result.note


def test_a_class_that_nobody_has_is_withheld():
    empty = torch.zeros(3, 4, 4, dtype=torch.uint8)
    (result,) = label_dice(empty, empty, torch.arange(3), names=("gm",))
    assert math.isnan(result.point)
    assert result.low is None
    assert result.interval == "none: 0 patients with a score"


def test_dice_falls_as_more_pixels_are_wrong():
    truth, groups = maps(0)
    random = torch.Generator().manual_seed(1)
    where = torch.rand(truth.shape, generator=random)
    points = [
        label_dice(truth, torch.where(where < share, 0, truth), groups, names=NAMES)[0].point
        for share in (0.0, 0.2, 0.5, 0.9)
    ]
    assert points[0] == 1
    assert points == sorted(points, reverse=True)
    assert len(set(points)) == 4


def test_the_interval_of_dice_counts_patients_not_slices():
    (truth, groups), (found, _) = maps(0, 96, patient_spread=2), maps(1, 96)
    result = label_dice(truth, found, groups, names=NAMES)[0]
    assert result.n["patients"] == 48
    assert result.low < result.point < result.high
    assert label_dice(truth, found, groups // 12, names=NAMES)[0].n["patients"] == 4


def test_the_interval_of_a_mean_over_patients_covers_as_often_as_it_says():
    """Of 400 draws of 20 patients with mean 0.7, 95 % intervals hold it within 3 errors of 0.011 of that."""
    random = np.random.default_rng(0)
    held = 0
    for draw in range(400):
        result = average_patients("x", random.normal(0.7, 0.1, 20), direction="higher", level=0.95, seed=draw)
        held += result.low <= 0.7 <= result.high
    assert 0.917 < held / 400 < 0.983


def test_shares_are_those_of_the_pixels():
    """Slices of 16 pixels: patient 0 has 4 and 8 of class 1, patient 1 has none: (1/4 + 1/2 + 0 + 0) / 4."""
    labels = torch.zeros(4, 4, 4, dtype=torch.uint8)
    labels[0, 0], labels[1, :2] = 1, 1
    first, second = label_shares(labels, torch.tensor([0, 0, 1, 1]), names=("gm", "wm"))
    assert first.name == "share_gm"
    assert first.point == 3 / 16
    assert first.n == {"slices": 4, "patients": 2}
    assert second.point == 0


def test_a_gap_is_the_difference_of_the_shares_and_zero_on_itself():
    (real, groups), (generated, _) = maps(0), maps(1, classes=5)
    alone = torch.arange(12)
    gaps = share_gaps(real, groups, generated, alone, names=NAMES)
    ours, theirs = label_shares(generated, alone, names=NAMES), label_shares(real, groups, names=NAMES)
    for gap, first, second in zip(gaps, ours, theirs, strict=True):
        assert gap.point == pytest.approx(first.point - second.point, abs=1e-12)
        assert gap.high < 0, "with five classes each takes less"
    assert all(gap.point == 0 for gap in share_gaps(real, groups, real, groups, names=NAMES))
    assert {each.direction for each in (*gaps, *ours)} == {None}, "neither less nor more is better"


def test_the_interval_of_a_gap_is_welchs_where_each_slice_is_a_patient():
    """Against scipy, an independent implementation."""
    from scipy import stats

    (real, _), (generated, _) = maps(0, 20, patient_spread=2), maps(1, 30)
    (gap, *_) = share_gaps(real, torch.arange(20), generated, torch.arange(30), names=NAMES)
    first, second = ((part == 1).double().mean((1, 2)).numpy() for part in (generated, real))
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert (gap.low, gap.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


@pytest.mark.usefixtures("_as_users_run")
def test_maps_that_do_not_belong_together_are_refused():
    truth, groups = maps(0)
    with pytest.raises(ValueError, match="one shape"):
        dice_scores(truth, truth[:, :8], groups, classes=3)
    with pytest.raises(ValueError, match="each of the 12 maps"):
        label_shares(truth, groups[:4], names=NAMES)


def test_the_examples_hold():
    assert doctest.testmod(label_agreement).failed == 0
