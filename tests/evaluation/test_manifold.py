import numpy as np
import pytest

from evaluation import FeatureSet, precision_recall
from evaluation.manifold import manifold_scores


def by_loops(real, generated, k):
    def radius(rows, i):
        return sorted(np.linalg.norm(rows - rows[i], axis=1))[k]

    inside_real = [[np.linalg.norm(x - y) < radius(real, i) for y in generated] for i, x in enumerate(real)]
    inside_generated = [[np.linalg.norm(x - y) < radius(generated, j) for j, y in enumerate(generated)] for x in real]
    return {
        "precision": np.any(inside_real, axis=0).mean(),
        "recall": np.any(inside_generated, axis=1).mean(),
        "density": np.sum(inside_real) / k / len(generated),
        "coverage": np.any(inside_real, axis=1).mean(),
    }


@pytest.mark.parametrize("neighbors", [1, 3])
def test_the_four_values_are_those_of_the_definitions(make_features, neighbors):
    real, generated = make_features(1, 18, 3, per_patient=2), make_features(2, 22, 3, noise=0.8)
    results = precision_recall(real, generated, neighbors=neighbors)
    expected = by_loops(real.rows, generated.rows, neighbors)
    assert {result.name: result.point for result in results} == pytest.approx(
        {f"{name}_toy": value for name, value in expected.items()}
    )


def test_a_far_origin_changes_nothing(make_features):
    near, far = (
        manifold_scores(make_features(1).rows + shift, make_features(2, noise=0.3).rows + shift) for shift in (0.0, 1e5)
    )
    for name in ("precision", "recall", "density", "coverage"):
        np.testing.assert_array_equal(getattr(near, name), getattr(far, name))


def test_a_generator_of_one_mode_is_precise_but_covers_little(make_features):
    real = make_features(1, 80, 2)
    generated = FeatureSet(0.1 * make_features(2, 80, 2).rows, np.arange(80), "toy")
    precision, recall, _, coverage = (result.point for result in precision_recall(real, generated))
    assert precision > 0.9
    assert recall < 0.2
    assert coverage < 0.5


def test_more_neighbors_than_rows_are_refused(make_features):
    with pytest.raises(ValueError, match="between 1 and 4"):
        precision_recall(make_features(1, 5), make_features(2), neighbors=5)
