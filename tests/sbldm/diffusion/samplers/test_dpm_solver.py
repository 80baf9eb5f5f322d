import math
from typing import Any

import pytest
import torch

from sbldm.diffusion.process import Estimate
from sbldm.diffusion.samplers import Ddim, DpmSolver, Earlier, Move
from sbldm.diffusion.schedules import Linear

SCHEDULE = Linear().build()


def constant(value: float) -> Any:
    return torch.full((1, 1), value, dtype=torch.float64)


def move(t: int, s: int, clean: float, noise: float, earlier: Earlier | None) -> Move:
    alpha_bar = float(SCHEDULE.alpha_bar[t])
    noisy = constant(math.sqrt(alpha_bar) * clean + math.sqrt(1 - alpha_bar) * noise)
    return Move(t, s, noisy, Estimate(constant(clean), constant(noise)), earlier, SCHEDULE, lambda: constant(math.nan))


def test_the_first_step_is_the_implicit_one() -> None:
    first = move(900, 600, clean=0.4, noise=-1.1, earlier=None)
    torch.testing.assert_close(DpmSolver().step(first), Ddim().step(first), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("before, t, s", [(900, 600, 500), (900, 800, 200), (30, 20, 1)])
def test_a_clean_estimate_that_drifts_with_log_snr_is_taken_at_the_middle_of_the_step(
    before: int, t: int, s: int
) -> None:
    drift = [float(SCHEDULE.log_snr[level]) for level in (before, t, s)]
    known = Earlier(before, Estimate(constant(drift[0]), constant(0.0)))
    stepped = DpmSolver().step(move(t, s, clean=drift[1], noise=0.3, earlier=known))
    steady = DpmSolver().step(move(t, s, clean=drift[1], noise=0.3, earlier=None))
    now, then = float(SCHEDULE.alpha_bar[t]), float(SCHEDULE.alpha_bar[s])
    share = math.sqrt(then) * (1 - math.exp((drift[1] - drift[2]) / 2))
    assert now < then
    assert float(stepped - steady) == pytest.approx(share * ((drift[1] + drift[2]) / 2 - drift[1]), rel=1e-9)
