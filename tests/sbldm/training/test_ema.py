import pytest
import torch
from torch import nn

from sbldm.training.ema import ema_decay, update_average


@pytest.mark.parametrize("step, decay", [(1, 2 / 11), (8, 0.5), (80, 0.9), (81, 0.9), (10_000, 0.9)])
def test_the_decay_warms_up_to_its_value(step: int, decay: float) -> None:
    assert ema_decay(0.9, step) == pytest.approx(decay)


def test_a_decay_of_zero_averages_nothing() -> None:
    assert [ema_decay(0.0, step) for step in (1, 10, 100)] == [0, 0, 0]


def test_the_average_matches_the_closed_form() -> None:
    module, averaged = nn.Linear(1, 1, bias=False).double(), nn.Linear(1, 1, bias=False).double()
    averaged.weight.data.fill_(10.0)
    values = [float(n**2) for n in range(1, 8)]
    for value in values:
        module.weight.data.fill_(value)
        update_average(averaged, module, 0.8)
    expected = 10 * 0.8**7 + sum(0.2 * 0.8 ** (7 - n) * value for n, value in enumerate(values, start=1))
    assert float(averaged.weight.detach()) == pytest.approx(expected)


def test_buffers_are_copied_not_averaged() -> None:
    module, averaged = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    module.running_mean = torch.tensor([3.0, 4.0])
    update_average(averaged, module, 0.9)
    assert averaged.running_mean is not None
    assert averaged.running_mean.tolist() == [3.0, 4.0]
