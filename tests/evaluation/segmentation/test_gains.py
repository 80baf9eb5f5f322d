import numpy as np
import pytest
from scipy import stats

from evaluation.multiplicity import holm
from evaluation.segmentation.forest import draw_forest
from evaluation.segmentation.gains import arm_means, find_gains
from evaluation.segmentation.types import Score


def make_scores(shifts: dict[str, float], metric: str = "dice", patients: int = 12, seeds: int = 3) -> list[Score]:
    """Each arm has the patients' own values plus a shift and noise of its own."""
    own = np.random.default_rng(0).uniform(0.4, 0.8, patients)
    scores = []
    for number, (arm, shift) in enumerate(shifts.items(), start=1):
        noise = np.random.default_rng(number).normal(0, 0.01, (patients, seeds))
        scores += [
            Score(arm, 0.1, seed, patient, "lesion", metric, float(own[patient] + shift + noise[patient, seed]))
            for patient in range(patients)
            for seed in range(seeds)
        ]
    return scores


def test_a_planted_gain_is_found_and_a_missing_one_is_not() -> None:
    gains = find_gains(make_scores({"real": 0.0, "real+synthetic": 0.1, "real duplicated": 0.0}))
    found = {(gain.arm, gain.baseline): gain for gain in gains}
    assert set(found) == {
        ("real+synthetic", "real"),
        ("real duplicated", "real"),
        ("real", "real duplicated"),
        ("real+synthetic", "real duplicated"),
    }
    better = found["real+synthetic", "real"]
    assert better.verdict(0.95) == "better"
    assert better.mean.point == pytest.approx(0.1, abs=0.01)
    assert better.sentence(0.95).startswith("real+synthetic is better than real at 10% of the patients: +0.10")
    none = found["real duplicated", "real"]
    assert none.verdict(0.95) == "no difference"
    assert "no difference that 12 test patients, 3 seeds can show (smallest resolvable" in none.sentence(0.95)


def test_patients_drawn_anew_come_to_the_interval_of_any_mean() -> None:
    """By numpy's own draws of patients' means over seeds, with the percentiles of Hesterberg 2015 for few patients."""
    scores = make_scores({"real": 0.0, "real+synthetic": 0.02})
    (gain,) = find_gains(scores, baselines=["real"], level=0.9)
    values = {(each.arm, each.patient, each.seed): each.value for each in scores}
    differences = [
        np.mean([values["real+synthetic", patient, seed] - values["real", patient, seed] for seed in range(3)])
        for patient in range(12)
    ]
    drawn = np.random.default_rng(5).choice(differences, (20000, 12)).mean(axis=1)
    outside = stats.norm.cdf(stats.t.ppf(0.05, 11) * (12 / 11) ** 0.5)
    assert gain.bootstrap == pytest.approx(np.quantile(drawn, [outside, 1 - outside]), abs=4e-4)  # of 2000 draws
    (lone,) = find_gains(make_scores({"real": 0.0, "synthetic": 0.1}, patients=1), baselines=["real"])
    assert lone.bootstrap is None


def test_a_longer_distance_is_worse() -> None:
    (gain,) = find_gains(make_scores({"real": 0.0, "synthetic": 0.1}, metric="hd95_px"), baselines=["real"])
    assert gain.verdict(0.95) == "worse"


def test_p_values_are_scipy_s_and_holm_s_over_the_arms_of_one_baseline() -> None:
    scores = make_scores({"real": 0.0, "real+synthetic": 0.004, "synthetic": -0.003})
    gains = find_gains(scores, baselines=["real"])
    values = {
        arm: np.array([[s.value for s in scores if (s.arm, s.patient) == (arm, patient)] for patient in range(12)])
        for arm in ("real", "real+synthetic", "synthetic")
    }
    plain = [stats.wilcoxon((values[gain.arm] - values["real"]).mean(1)).pvalue for gain in gains]
    assert [gain.wilcoxon_p for gain in gains] == pytest.approx(holm(plain))
    assert [gain.p for gain in gains] == pytest.approx(holm([gain.mean.p_value() for gain in gains]))


def test_an_arm_tested_on_synthetic_slices_is_compared_with_none() -> None:
    arms = {"real": 0.0, "real tested on synthetic": 0.3, "synthetic": 0.0}
    assert {gain.arm for gain in find_gains(make_scores(arms))} == {"synthetic"}


def test_arms_tested_on_other_patients_are_refused() -> None:
    scores = [score for score in make_scores({"real": 0.0, "synthetic": 0.0}) if score.patient or score.arm == "real"]
    with pytest.raises(ValueError, match="tested on the same patients"):
        find_gains(scores)


def test_means_are_over_patients_and_seeds() -> None:
    scores = make_scores({"real": 0.0})
    found = arm_means(scores)["real", 0.1, "lesion", "dice"]
    assert found.point == pytest.approx(np.mean([score.value for score in scores]))


@pytest.mark.slow  # draws
def test_the_forest_is_drawn_in_both_forms_the_same_each_time() -> None:
    gains = find_gains(make_scores({"real": 0.0, "real+synthetic": 0.1, "synthetic": -0.1}), baselines=["real"])
    assert draw_forest(gains, level=0.95, form="png").startswith(b"\x89PNG")
    drawn = [draw_forest(gains, level=0.95, form="svg") for _ in range(2)]
    assert drawn[0] == drawn[1]
    with pytest.raises(ValueError, match="one gain or more"):
        draw_forest([], level=0.95, form="png")
