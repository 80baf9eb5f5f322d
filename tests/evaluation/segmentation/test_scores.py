import math

import numpy as np
import pytest
import torch

from evaluation.segmentation.scores import average_classes, hausdorff95, lesion_f1, score_patients, table_of
from evaluation.segmentation.types import LabelledSet, Score


def blobs(seed: int, count: int = 6, side: int = 24) -> np.ndarray:
    smooth = torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.avg_pool2d(smooth, 5, 1, 2)[:, 0] > 0.08).numpy()


def truth(spacing: tuple[float, float] | None = None) -> LabelledSet:
    """Two patients with a slice each; class 1 fills the left half, class 2 one pixel of patient 7.

    The pixels of patient 7 are twice as large.
    """
    labels = torch.zeros(2, 8, 8, dtype=torch.uint8)
    labels[:, :, :4] = 1
    labels[1, 0, 7] = 2
    apart = torch.tensor([spacing, (2 * spacing[0], 2 * spacing[1])]) if spacing else None
    return LabelledSet(torch.zeros(2, 1, 8, 8), labels, torch.tensor([3, 7]), ("tissue", "spot"), apart)


def scored(found: torch.Tensor, **options: object) -> dict[tuple[int, str, str], float]:
    slices = truth(options.pop("spacing", None))  # type: ignore[arg-type]
    rows = score_patients(slices, found, arm="real", fraction=0.1, seed=2, **options)  # type: ignore[arg-type]
    assert {(row.arm, row.fraction, row.seed) for row in rows} == {("real", 0.1, 2)}
    return {(row.patient, row.label, row.metric): row.value for row in rows}


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI warns of itself
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.8, 2.5)])
def test_hausdorff_is_monai_s(spacing: tuple[float, float]) -> None:
    from monai.metrics import compute_hausdorff_distance

    for one, two in zip(blobs(0), blobs(1), strict=True):
        batch = [torch.from_numpy(mask)[None, None].float() for mask in (one, two)]
        expected = compute_hausdorff_distance(*batch, include_background=True, percentile=95, spacing=list(spacing))
        assert hausdorff95(one, two, spacing) == pytest.approx(float(expected), rel=1e-6)


def test_a_right_map_is_perfect_and_a_class_in_neither_map_is_not_scored() -> None:
    found = scored(truth().labels)
    assert [found[7, label, "dice"] for label in ("tissue", "spot")] == [1.0, 1.0]
    assert [found[7, "spot", metric] for metric in ("iou", "hd95_px")] == [1.0, 0.0]
    assert all(math.isnan(found[3, "spot", metric]) for metric in ("dice", "iou", "hd95_px"))


def test_a_class_in_one_map_alone_has_dice_0_and_no_distance() -> None:
    found = scored(torch.ones(2, 8, 8, dtype=torch.uint8))
    assert found[7, "spot", "dice"] == 0
    assert math.isnan(found[7, "spot", "hd95_px"])
    assert found[7, "tissue", "dice"] == pytest.approx(2 * 32 / (64 + 32))  # by hand
    assert found[7, "tissue", "iou"] == pytest.approx(32 / 64)


def test_classes_are_averaged_where_all_of_them_are_scored() -> None:
    found = score_patients(truth(), truth().labels.roll(1, dims=2), arm="real", fraction=0.1, seed=2)
    by_patient = {row.patient: row for row in average_classes(found, "dice")}
    assert {row.label for row in by_patient.values()} == {"all classes"}
    assert by_patient[7].value == pytest.approx((2 * 24 / 64 + 0) / 2)  # by hand: half of four columns, and no spot
    assert math.isnan(by_patient[3].value)  # who has no spot in either map
    lone = [row for row in found if row.label == "tissue"]
    assert average_classes(lone, "dice") == ()


def test_the_distance_is_in_mm_where_the_spacing_is_known() -> None:
    labels = truth().labels.roll(1, dims=2)  # all edges one column to the right; columns are 2 mm apart
    found = scored(labels, spacing=(1.0, 2.0))
    assert found[3, "tissue", "hd95_mm"] == pytest.approx(2.0)
    assert found[7, "tissue", "hd95_mm"] == pytest.approx(4.0)  # each patient has spacings of its own
    assert scored(labels)[3, "tissue", "hd95_px"] == pytest.approx(1.0)


def test_spots_are_counted_by_hand() -> None:
    one, two = np.zeros((2, 1, 9, 9), dtype=bool)
    one[0, 0:2, 0:2] = one[0, 5, 5] = one[0, 6, 6] = one[0, 0, 8] = True  # three: the diagonal pair is one
    two[0, 1, 1] = two[0, 3, 0] = True  # finds the first, and one that is none
    assert lesion_f1(one, two) == pytest.approx(2 * 1 / (2 * 1 + 2 + 1))
    assert math.isnan(lesion_f1(np.zeros_like(one), np.zeros_like(one)))
    assert lesion_f1(np.zeros_like(one), two) == 0


def test_spots_are_counted_for_classes_that_are_lesions() -> None:
    found = scored(truth().labels, lesions=("spot",))
    assert found[7, "spot", "lesion_f1"] == 1
    assert (7, "tissue", "lesion_f1") not in found


def test_scores_become_a_table_of_patients_and_seeds_with_gaps() -> None:
    rows = [Score("real", 1.0, seed, patient, "a", "dice", patient + seed / 10) for patient, seed in ((5, 0), (2, 1))]
    values, patients = table_of(rows)
    assert patients == (2, 5)
    np.testing.assert_array_equal(values, [[np.nan, 2.1], [5.0, np.nan]])
