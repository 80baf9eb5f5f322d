import json
import math

import numpy as np
import pytest
import torch

from evaluation import FeatureSet, ImageSet, MetricResult, stand_alone


def result(**changes):
    base = {
        "name": "psnr",
        "point": 1.5,
        "low": 1.0,
        "high": 2.0,
        "level": 0.95,
        "interval": "percentiles",
        "n": {"real": 3},
        "extractor": None,
        "direction": "higher",
    }
    return MetricResult(**{**base, **changes})


def test_images_outside_the_unit_range_are_refused_with_their_range():
    with pytest.raises(ValueError, match=r"\[-1, 0.5\]"):
        ImageSet(torch.tensor([[[[-1.0, 0.5]]]]), torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_images_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        stand_alone(torch.full((2, 1, 3, 3), bad))


@pytest.mark.usefixtures("_as_users_run")
def test_empty_and_misshapen_images_are_refused():
    with pytest.raises(ValueError, match="filled"):
        stand_alone(torch.zeros(0, 1, 3, 3))
    with pytest.raises(ValueError, match=r"shape \(3, 3\)"):
        stand_alone(torch.zeros(3, 3))


@pytest.mark.usefixtures("_as_users_run")
def test_every_row_needs_its_patient():
    with pytest.raises(ValueError, match="each of the 2 rows"):
        ImageSet(torch.zeros(2, 1, 3, 3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="each of the 2 rows"):
        FeatureSet(np.zeros((2, 3)), np.arange(3), "toy")


@pytest.mark.usefixtures("_as_users_run")
def test_features_must_be_finite_float64():
    with pytest.raises(ValueError, match="float64"):
        FeatureSet(np.zeros((2, 3), np.float32), np.arange(2), "toy")
    with pytest.raises(ValueError, match="finite"):
        FeatureSet(np.array([[1.0, np.nan]]), np.arange(1), "toy")


def test_patients_are_counted_once():
    assert ImageSet(torch.zeros(3, 1, 2, 2), torch.tensor([4, 4, 7])).patients == 2
    assert stand_alone(torch.zeros(3, 1, 2, 2)).patients == 3


@pytest.mark.parametrize("point", [1.5, math.inf])
def test_a_result_survives_strict_json(point):
    before = result(point=point, low=None)
    text = json.dumps(before.to_json(), allow_nan=False)
    assert MetricResult.from_json(json.loads(text)) == before
