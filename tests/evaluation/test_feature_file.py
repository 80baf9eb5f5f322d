"""Features come back from their file as they were, and nothing else comes back as features."""

import numpy as np
import pytest

from evaluation import FeatureSet, evaluate_features, read_features, write_features


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_is_written_is_read_to_the_last_digit(tmp_path, make_features, kind):
    pair = [
        FeatureSet(each.rows.astype(kind).astype(np.float64), each.groups, "toy")
        for each in (make_features(1, per_patient=3), make_features(2, n=40))
    ]
    path = tmp_path / "features.npz"
    path.write_bytes(write_features(*pair))
    for before, after in zip(pair, read_features(path), strict=True):
        np.testing.assert_array_equal(after.rows, before.rows)
        np.testing.assert_array_equal(after.groups, before.groups)
        assert after.extractor == "toy"
    assert evaluate_features(*read_features(path)) == evaluate_features(*pair)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x04N."])
def test_another_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "features.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"features\.npz must be an npz that write_features wrote"):
        read_features(tmp_path / "features.npz")
