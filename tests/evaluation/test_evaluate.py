import subprocess
import sys

import pytest

import evaluation
from evaluation import evaluate_features, noise_floor


def test_every_feature_metric_is_measured(make_features):
    results = evaluate_features(make_features(1, per_patient=2), make_features(2))
    names = [name for name, metric in evaluation.METRICS.items() if metric.on == "features"]
    assert sorted(result.name for result in results) == sorted(f"{name}_toy" for name in names)


def test_the_noise_floor_is_the_same_arithmetic_under_its_own_words(make_features):
    first, second = make_features(1, per_patient=2), make_features(2, per_patient=3)
    floor, values = noise_floor(first, second), evaluate_features(first, second)
    assert [result.point for result in floor] == [result.point for result in values]
    assert all("noise floor" in result.note for result in floor)


@pytest.mark.slow  # it starts an interpreter
def test_importing_evaluation_leaves_the_heavy_libraries_alone():
    heavy = ("timm", "lpips", "torch_fidelity", "torchvision", "matplotlib", "scipy.stats", "sklearn", "monai")
    code = f"import sys, evaluation; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
