"""The laws that every registered metric keeps; a new metric inherits them by registering."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation import METRICS, FeatureSet, ImageSet
from evaluation.metric import register

NAMES = [pytest.param(name, marks=pytest.mark.slow) if name.startswith("pd_") else name for name in METRICS]


@pytest.fixture
def cases(make_features, make_images, add_noise):
    """Return (real, generated) of a strength of damage for a metric."""

    def make(metric, n, strength):
        if metric.on == "features":
            noisy = FeatureSet(make_features(2, n, 5).rows * (1 + strength) + strength, np.arange(n), "toy")
            return make_features(1, n, 5, per_patient=2), noisy
        real = make_images(1, n)
        return real, add_noise(real, 0.02 + strength / 5)

    return make


def reorder(part, order):
    if isinstance(part, FeatureSet):
        return FeatureSet(part.rows[order], part.groups[order], part.extractor)
    index = torch.as_tensor(order)
    return ImageSet(part.images[index], part.groups[index])


@pytest.mark.parametrize("name", NAMES)
def test_a_set_against_itself_has_the_declared_value(name, cases):
    metric = METRICS[name]
    real, _ = cases(metric, 40, 0.0)
    point = metric.measure(real, real).point
    if metric.on_itself is None:
        assert point <= 0, "an unbiased distance of a set to itself falls below zero"
    else:
        assert point == pytest.approx(metric.on_itself, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_rows_is_irrelevant(name, cases):
    metric = METRICS[name]
    real, generated = cases(metric, 40, 0.5)
    order = np.random.default_rng(0).permutation(40)
    other = order if metric.on == "images" else np.random.default_rng(1).permutation(40)
    before, after = metric.measure(real, generated), metric.measure(reorder(real, order), reorder(generated, other))
    for end in ("point", "low", "high"):
        assert getattr(after, end) == pytest.approx(getattr(before, end), rel=1e-5), end


@pytest.mark.parametrize("name", NAMES)
def test_the_value_worsens_as_noise_grows(name, cases):
    metric = METRICS[name]
    sign = 1 if metric.direction == "lower" else -1
    values = [
        sign * metric.measure(*cases(metric, 40 if metric.on == "features" else 12, strength)).point
        for strength in (0.0, 0.4, 0.9, 1.6)
    ]
    if name in ("recall", "density"):  # a wide cloud reaches all of a narrow one: only its own spread is judged
        assert values[0] != values[-1]
    else:
        assert all(a < b for a, b in itertools.pairwise(values)), values


@pytest.mark.parametrize("name", NAMES)
def test_the_interval_holds_the_point_and_narrows_with_n(name, cases):
    metric = METRICS[name]
    few, many = (metric.measure(*cases(metric, n, 0.6)) for n in ((12, 72) if metric.on == "images" else (40, 320)))
    for result in (few, many):
        assert result.low <= result.point <= result.high
        assert metric.bounds[0] <= result.point <= metric.bounds[1]
        assert result.direction == metric.direction
    assert many.high - many.low < 0.7 * (few.high - few.low)


@pytest.mark.parametrize("name", NAMES)
def test_a_higher_level_widens_the_interval(name, cases):
    metric = METRICS[name]
    sets = cases(metric, 40, 0.6)
    wide, narrow = metric.measure(*sets, level=0.99), metric.measure(*sets, level=0.8)
    assert wide.low < narrow.low
    assert narrow.high < wide.high or narrow.high == wide.high == 1, "a share ends at 1"


@pytest.mark.parametrize("name", NAMES)
def test_the_same_call_gives_the_same_interval(name, cases):
    sets = cases(METRICS[name], 40, 0.3)
    assert METRICS[name].measure(*sets) == METRICS[name].measure(*sets)


@pytest.mark.parametrize(
    "name", [name for name, metric in METRICS.items() if metric.symmetric and metric.on == "features"]
)
def test_a_symmetric_metric_is_symmetric(name, cases):
    real, generated = cases(METRICS[name], 48, 0.5)
    there, back = METRICS[name].measure(real, generated), METRICS[name].measure(generated, real)
    assert there.point == pytest.approx(back.point, rel=1e-10)
    assert there.high == pytest.approx(back.high, rel=1e-10)


@pytest.mark.parametrize("name", ["fd", "kid", "precision", "recall", "density", "coverage"])
def test_features_of_two_extractors_do_not_compare(name, make_features):
    other = replace(make_features(2), extractor="another")
    with pytest.raises(ValueError, match="one extractor"):
        METRICS[name].measure(make_features(1), other)


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="unique"):
        register(METRICS["fd"])
