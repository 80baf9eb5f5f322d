"""The distance of the populations: free of the bias of small n, silent where nothing covers."""

from functools import partial

import numpy as np
import pytest

from evaluation import FeatureSet, frechet_distance, population_distance
from evaluation.contrast import contrast_influence
from evaluation.debiased import debiased_influence
from evaluation.population import choose_estimator, effective_rows

WIDTH = 24
SPECTRUM = np.arange(1.0, WIDTH + 1) ** -1.0
OTHER = SPECTRUM * np.exp(0.4 * np.random.default_rng(0).standard_normal(WIDTH))
SHIFT = 0.2 * np.sqrt(SPECTRUM)
TRUTH = float((SHIFT**2).sum() + ((np.sqrt(SPECTRUM) - np.sqrt(OTHER)) ** 2).sum())  # of commuting covariances


def draw(seed, n, *, per_patient=1, same_law=False):
    """Draw real rows with intra-class correlation 0.7 inside patients, and independent generated rows."""
    generator = np.random.default_rng(seed)
    own = generator.standard_normal((n, WIDTH))
    patients = np.arange(n) // per_patient
    shared = generator.standard_normal((n // per_patient, WIDTH))[patients]
    mixed = own if per_patient == 1 else np.sqrt(0.7) * shared + np.sqrt(0.3) * own
    others = generator.standard_normal((n, WIDTH)) * np.sqrt(SPECTRUM if same_law else OTHER)
    real = FeatureSet(mixed * np.sqrt(SPECTRUM), patients, "toy")
    return real, FeatureSet(others + (0 if same_law else SHIFT), np.arange(n), "toy")


def estimates(influence, *, trials, **shape):
    pairs = [draw(seed, **shape) for seed in range(trials)]
    found = [influence(*pair) for pair in pairs]
    return np.array([each.point for each in found]), np.array(
        [each.error(*pair).value for each, pair in zip(found, pairs, strict=True)]
    )


SHAPES = [{"n": 60}, {"n": 120, "per_patient": 3}]
FEW_SPLITS = partial(contrast_influence, splits=4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("influence, trials", [(debiased_influence, 60), (FEW_SPLITS, 20)])
def test_the_estimate_is_centered_on_the_populations_distance(influence, trials, shape):
    points, errors = estimates(influence, trials=trials, **shape)
    deviation = points.std(ddof=1)
    assert abs(points.mean() - TRUTH) < 3 * deviation / np.sqrt(trials)
    assert np.mean(np.abs(points - TRUTH) < 1.96 * errors) >= 0.85
    assert 0.8 < errors.mean() / deviation < 2


@pytest.mark.parametrize("shape", SHAPES)
def test_the_plug_in_lies_far_above_the_populations_distance(shape):
    results = [frechet_distance(*draw(seed, **shape)) for seed in range(20)]
    assert all(result.low > TRUTH for result in results)


@pytest.mark.parametrize("influence", [debiased_influence, FEW_SPLITS])
def test_equal_laws_are_at_zero(influence):
    points, _ = estimates(influence, trials=30, n=80, same_law=True)
    assert abs(points.mean()) < 0.5 * points.std(ddof=1), "30 trials know the mean to 0.18 deviations"


def test_slices_taken_for_patients_give_a_false_distance():
    """The wrong twin: leverages that leave out a slice, but not its patient, take the rest for new information."""

    def row_by_row(real, generated):
        return debiased_influence(FeatureSet(real.rows, np.arange(len(real)), "toy"), generated)

    wrong, _ = estimates(row_by_row, trials=30, n=120, per_patient=6)
    right, _ = estimates(debiased_influence, trials=30, n=120, per_patient=6)
    assert abs(wrong.mean() - TRUTH) > 3 * abs(right.mean() - TRUTH)


@pytest.mark.parametrize("influence", [debiased_influence, FEW_SPLITS])
def test_distance_follows_shift_turn_and_scale(influence):
    real, generated = draw(3, 60)
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((WIDTH, WIDTH)))
    moved = [FeatureSet(2 * each.rows @ turn + 5, each.groups, "toy") for each in (real, generated)]
    first, second = influence(real, generated), influence(*moved)
    assert second.point == pytest.approx(4 * first.point, rel=1e-6)
    np.testing.assert_allclose(second.real, 4 * first.real, atol=1e-6)


@pytest.mark.parametrize("influence", [debiased_influence, FEW_SPLITS])
def test_influence_sums_to_zero_on_both_sides(influence):
    found = influence(*draw(4, 60))
    assert abs(found.real.sum()) < 1e-9
    assert abs(found.generated.sum()) < 1e-9


def test_exchanging_the_sides_exchanges_the_influence():
    real, generated = draw(5, 60)
    there, back = debiased_influence(real, generated), debiased_influence(generated, real)
    assert there.point == pytest.approx(back.point, rel=1e-9)
    np.testing.assert_allclose(there.real, back.generated, atol=1e-9)


def test_more_splits_leave_less_variance():
    real, generated = draw(6, 60)
    few, many = (contrast_influence(real, generated, splits=splits).split_variance for splits in (3, 24))
    assert many < few


def test_effective_rows_are_rows_where_patients_have_one_and_fewer_where_they_have_many():
    assert effective_rows(draw(0, 60)[0]) == pytest.approx(60)
    crowded = np.mean([effective_rows(draw(seed, 240, per_patient=6)[0]) for seed in range(20)])
    assert crowded == pytest.approx(240 / (1 + 5 * 0.7), rel=0.1), "Kish: n / (1 + (m - 1) ICC)"


@pytest.mark.parametrize("n, per_patient, name", [(60, 1, "SFD"), (30, 1, "SFD"), (120, 4, "SFD")])
def test_the_estimator_follows_the_effective_rows(n, per_patient, name):
    result = population_distance(*draw(1, n, per_patient=per_patient))
    assert result.interval.startswith(f"{name} of the populations")
    assert result.low < result.point < result.high


def test_half_the_spectrum_calls_for_the_contrast():
    wide = [FeatureSet(np.random.default_rng(seed).standard_normal((90, 150)), np.arange(90), "toy") for seed in (0, 1)]
    assert population_distance(*wide).interval.startswith("SC-FD of the populations")


def test_below_the_limit_the_value_is_withheld_and_the_reason_said():
    wide = [FeatureSet(np.random.default_rng(seed).standard_normal((40, 200)), np.arange(40), "toy") for seed in (0, 1)]
    result = population_distance(*wide)
    assert np.isnan(result.point)
    assert result.low is None
    assert result.high is None
    assert (
        result.interval
        == "refused: 40 effective rows are fewer than the 80 that 200 features need; see the kernel distance"
    )
    with pytest.raises(ValueError, match=r"no estimator .* covers here: 40 effective rows"):
        choose_estimator(*wide).influence(*wide)


def test_few_patients_are_refused_however_many_rows_they_have():
    real, generated = draw(0, 240, per_patient=24)
    assert "10 patients are fewer than 16" in population_distance(real, generated).interval


def test_equal_rows_are_refused_in_one_line():
    flat = FeatureSet(np.ones((40, 8)), np.arange(40), "toy")
    with pytest.raises(ValueError, match="features must vary, but all 40 rows are equal"):
        population_distance(flat, flat)
