import pytest
from pydantic import ValidationError

from search.downstream.spec import BenchmarkSpec


def test_the_quick_question_has_two_fractions_and_three_seeds() -> None:
    assert (BenchmarkSpec().fractions, BenchmarkSpec().seeds) == ((0.1, 1.0), 3)


def test_fewer_than_three_seeds_must_be_asked_for() -> None:
    with pytest.raises(ValidationError, match="seeds must be 3 or more, or fewer_seeds be allowed, but got 2"):
        BenchmarkSpec(seeds=2)
    assert BenchmarkSpec(seeds=2, fewer_seeds="allowed").seeds == 2


@pytest.mark.parametrize("fractions", [(0.0, 1.0), (0.5, 1.5), (0.5, 0.5)])
def test_fractions_that_are_no_shares_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="fractions must differ and lie in"):
        BenchmarkSpec(fractions=fractions)


def test_synthetic_slices_follow_the_ratio_unless_they_are_counted() -> None:
    assert BenchmarkSpec(synthetic_ratio=0.5).synthetic_count(9) == 4  # Python rounds 4.5 to even
    assert BenchmarkSpec(synthetic_slices=100).synthetic_count(9) == 100
