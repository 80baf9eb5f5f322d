import pytest

from sbldm.nn.autoencoders import Strided


@pytest.mark.parametrize("downsample, strides", [(1, (1, 1, 1, 1)), (4, (1, 2, 2, 1)), (8, (1, 2, 2, 2))])
def test_the_number_of_stages_that_halve_follows_from_downsample(downsample: int, strides: tuple[int, ...]) -> None:
    assert Strided(downsample=downsample).strides == strides


def test_too_few_stages_for_downsample_are_refused() -> None:
    with pytest.raises(ValueError, match=r"downsample 8 needs hidden_dims of at least 4 stages .* got \[32, 64, 128\]"):
        Strided(downsample=8, hidden_dims=(32, 64, 128))
