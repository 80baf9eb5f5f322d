import pytest

from sbldm.training import StepRecord


def test_pace_and_epoch_follow_from_samples_and_seconds() -> None:
    record = StepRecord("diffusion", 1, 10, 0.5, 1e-3, 1.0, 0.25, 0, is_exact=True, samples=16)
    assert record.samples_per_second == 64
    assert record.seconds_per_epoch(480) == pytest.approx(7.5)
