import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from evaluation import FeatureSet
from evaluation.compare import compare_influences, difference_error
from evaluation.influence import Influence
from evaluation.kernel import kernel_influence
from evaluation.power import Budget, needed, plan, planned_error, resolvable_difference
from evaluation.power_words import describe_plan, tabulate_plan
from evaluation.variances import Variances, between_seeds, variances_of, variances_of_difference

PARTS = Variances(patient=40.0, sample=200.0, seed=1.5)
BUDGET = Budget(patients=20, samples=100, seeds=2)


def squared_gap(real, generated):
    """The squared gap of the means of feature 0."""
    x, y = real.rows[:, 0], generated.rows[:, 0]
    gap = y.mean() - x.mean()
    return Influence(gap**2, -2 * gap * (x - x.mean()), 2 * gap * (y - y.mean()))


def draw(seed, *, patients, samples, shifts, per_patient=3, d=4):
    generator = np.random.default_rng(seed)
    between = np.repeat(generator.standard_normal((patients, d)), per_patient, axis=0)
    rows = np.sqrt(0.7) * between + np.sqrt(0.3) * generator.standard_normal(between.shape)
    real = FeatureSet(rows, np.arange(len(rows)) // per_patient, "toy")
    models = [
        FeatureSet(generator.standard_normal((samples, d)) + shift, np.arange(samples), "toy") for shift in shifts
    ]
    return real, *models


def compared(measure, real, first, second, *, paired=False):
    rows = {"real": real, "first_generated": first, "second_generated": second, "paired": paired}
    return (measure(real, first), measure(real, second)), rows


def pilot(measure, *, trials=20, **shape):
    """Average over pilots, so that only the plan is put to the test, not the luck of one pilot."""
    found = []
    for trial in range(trials):
        influences, rows = compared(measure, *draw(trial, **shape))
        found.append(variances_of_difference(*influences, **rows))
    return Variances(*(float(np.mean([getattr(each, name) for each in found])) for name in ("patient", "sample")))


def power_of(measure, *, trials, **shape):
    rejected = 0
    for trial in range(trials):
        influences, rows = compared(measure, *draw(50_000 + trial, **shape))
        rejected += compare_influences(*influences, **rows).p < 0.05
    return rejected / trials


def test_a_plan_worked_by_hand():
    """Parts 40/20 = 2, 200/200 = 1 and 1.5/2 = 0.75 make an error of sqrt 3.75 with Welch's degrees of freedom."""
    error = planned_error(PARTS, BUDGET)
    freedom = 3.75**2 / (2**2 / 19 + 1**2 / 199 + 0.75**2 / 1)
    assert (error.value, error.freedom) == pytest.approx((np.sqrt(3.75), freedom), rel=1e-12)
    reach = stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom)
    assert resolvable_difference(PARTS, BUDGET) == pytest.approx(reach * np.sqrt(3.75), rel=1e-9)
    found = plan(PARTS, BUDGET)
    assert found.shares == pytest.approx({"patients": 2 / 3.75, "samples": 1 / 3.75, "seeds": 0.2})
    assert found.bottleneck == "patients"


def test_at_many_of_each_it_is_the_sample_size_formula_of_the_textbook():
    """Two means of unit variance, 63 a group, tell half a standard deviation with 80 % power (Cohen 1988: 64)."""
    variances = Variances(patient=0.0, sample=2.0)
    samples = next(need for need in needed(0.5, variances, Budget(10, 10)) if need.what == "samples").needed
    assert samples in (63, 64, 65)


@pytest.mark.parametrize("difference", [3.0, 6.0, 20.0])
def test_what_is_needed_resolves_and_one_less_does_not(difference):
    budget = replace(BUDGET, seeds=6)
    for need in needed(difference, PARTS, budget):
        fewest = 1 if need.what == "seeds" else 2
        if need.needed is None:
            assert need.limit > difference
            continue
        assert resolvable_difference(PARTS, replace(budget, **{need.what: need.needed})) <= difference
        if need.needed > fewest:
            assert resolvable_difference(PARTS, replace(budget, **{need.what: need.needed - 1})) > difference


def test_no_number_of_samples_makes_up_for_patients():
    parts = Variances(patient=40.0, sample=200.0)
    patients, samples = needed(3.0, parts, Budget(20, 100))
    assert samples.needed is None
    assert samples.limit == pytest.approx(np.sqrt(2) * (stats.t.ppf(0.975, 19) + stats.t.ppf(0.8, 19)), rel=1e-3)
    assert patients.needed is None  # nor the other way around: the samples' part alone is sqrt 2 x 2.8 or more
    enough, _ = needed(4.5, parts, Budget(20, 100))
    assert 20 < enough.needed < math.inf


def test_more_of_anything_resolves_less_and_more_power_asks_for_more():
    base = resolvable_difference(PARTS, BUDGET)
    for more in ({"patients": 40}, {"samples": 200}, {"seeds": 3}):
        assert resolvable_difference(PARTS, replace(BUDGET, **more)) < base
    assert resolvable_difference(PARTS, BUDGET, power=0.9) > base
    assert resolvable_difference(PARTS, BUDGET, level=0.99) > base
    assert resolvable_difference(replace(PARTS, fixed=1.0), BUDGET) > base


def test_one_seed_cannot_tell_how_seeds_differ():
    assert resolvable_difference(PARTS, replace(BUDGET, seeds=1)) == math.inf
    assert resolvable_difference(replace(PARTS, seed=None), replace(BUDGET, seeds=1)) < math.inf


def test_the_variances_give_back_the_error_of_the_difference():
    influences, rows = compared(squared_gap, *draw(1, patients=25, samples=80, shifts=(0.5, 1.0)))
    error = difference_error(*influences, **rows)
    again = planned_error(variances_of_difference(*influences, **rows), Budget(25, 80))
    assert again.value == pytest.approx(error.value, rel=1e-12)
    alone = variances_of(influences[0], rows["real"], rows["first_generated"])
    once = influences[0].error(rows["real"], rows["first_generated"])
    assert planned_error(alone, Budget(25, 80)).value == pytest.approx(once.value, rel=1e-12)


def test_pairs_from_the_same_noise_count_as_pairs():
    real, first, _ = draw(1, patients=10, samples=60, shifts=(0.5, 1.0))
    moved = FeatureSet(first.rows + 0.3, first.groups, "toy")
    influences, rows = compared(squared_gap, real, first, moved, paired=True)
    paired = variances_of_difference(*influences, **rows)
    apart = variances_of_difference(*influences, **(rows | {"paired": False}))
    assert paired.sample < 0.2 * apart.sample
    assert paired.patient == apart.patient


def test_the_spread_of_seeds_is_what_samples_do_not_explain():
    """Points 1, 3, 8: variance 13; 200 per sample over 100 samples explain 2 of it."""
    joined = between_seeds([PARTS, replace(PARTS, patient=60.0), PARTS], [1.0, 3.0, 8.0], samples=100)
    assert (joined.patient, joined.sample, joined.seed) == pytest.approx((140 / 3, 200.0, 11.0))
    assert between_seeds([PARTS, PARTS], [1.0, 1.1], samples=100).seed == 0


def test_the_planned_power_is_reached():
    """Gaps on both sides of the reference, so that its error does not cancel; 400 trials put 80 % within 4 points."""
    shape = {"patients": 150, "shifts": (-3.0, 3.5)}
    variances = pilot(squared_gap, samples=200, **shape)
    wanted = 3.5**2 - 3.0**2
    _, samples = needed(wanted, variances, Budget(150, 200))
    assert 100 < samples.needed < 400
    found = plan(variances, Budget(150, samples.needed), wanted=wanted)
    assert min(found.shares.values()) > 0.2, "both parts are put to the test"
    assert power_of(squared_gap, trials=400, samples=samples.needed, **shape) == pytest.approx(0.8, abs=0.05)


@pytest.mark.slow
def test_the_planned_power_is_reached_by_the_kernel_distance():
    """Rather more than planned: its error grows with its value, and a pilot of few samples overstates their part."""
    shape = {"patients": 60, "shifts": (1.0, 1.1)}
    variances = pilot(kernel_influence, samples=400, **shape)
    truth = np.mean([np.subtract(*points_of(kernel_influence, trial, **shape)) for trial in range(200)])
    _, samples = needed(abs(float(truth)), variances, Budget(60, 400))
    assert 200 < samples.needed < 800
    reached = power_of(kernel_influence, trials=300, samples=samples.needed, **shape)
    assert 0.75 < reached < 0.9, "300 trials put 80 % within 4.6 points"


def points_of(measure, seed, **shape):
    influences, _ = compared(measure, *draw(90_000 + seed, samples=100, **shape))
    return [each.point for each in influences]


def test_the_plan_says_what_stands_in_the_way():
    found = plan(PARTS, BUDGET, wanted=3.0)
    first, *needs = describe_plan(found, name="kid")
    assert first.startswith("20 patients, 100 samples and 2 seeds resolve ")
    assert first.endswith("kid with 80 % power at 95 %; the patients' part is 53 % of the variance.")
    assert "No number of samples resolves 3 kid with 20 patients and 2 seeds: at best" in needs[1]
    blind = describe_plan(plan(PARTS, replace(BUDGET, seeds=1)))
    assert blind[0].startswith("20 patients, 100 samples and 1 seed resolve no difference: seeds differ")
    single = describe_plan(plan(replace(PARTS, seed=None), BUDGET))
    assert single[-1] == "It holds for these trained models; another training may differ more."
    enough = describe_plan(plan(Variances(1.0, 1.0), Budget(50, 50), wanted=10.0))
    assert "50 patients are enough for 10: 2 would do, the rest unchanged." in enough


def test_the_table_has_a_row_for_each_count_and_the_record_is_strict_json():
    found = plan(PARTS, BUDGET, wanted=3.0)
    table = tabulate_plan(found, title="Power", name="kid")
    assert [row[:3] for row in table.rows] == [
        ("patients", "20", "53 %"),
        ("samples", "100", "27 %"),
        ("seeds", "2", "20 %"),
    ]
    assert table.rows[1][3] == "none suffices"
    again = json.loads(json.dumps(plan(PARTS, replace(BUDGET, seeds=1), wanted=3.0).to_json(), allow_nan=False))
    assert again["resolvable"] == "inf"
    assert again["needs"][2]["what"] == "seeds"


def test_a_plan_without_sense_is_refused():
    with pytest.raises(ValueError, match="2 patients, 2 samples and 1 seed or more, but got"):
        Budget(patients=1, samples=100)
    with pytest.raises(ValueError, match="not negative"):
        Variances(patient=-1.0, sample=1.0)
    with pytest.raises(ValueError, match=r"above 0, but got difference=0\.0"):
        needed(0.0, PARTS, BUDGET)
    with pytest.raises(ValueError, match="power must lie"):
        resolvable_difference(PARTS, BUDGET, power=1.0)
    with pytest.raises(ValueError, match="2 of them, but got 1"):
        between_seeds([PARTS], [1.0], samples=5)
