from typing import Any

import pytest
import torch
from torch import Tensor

from sbldm.diffusion.samplers import Ddim, DpmSolver, SamplerSpec, SampleStep, sample
from sbldm.diffusion.schedules import Cosine, Gamma, Linear, Schedule

NOISE = torch.randn(4, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LINEAR = Linear(timesteps=4000, beta_start=1e-5, beta_end=0.005).build()
ZERO = Cosine(timesteps=4000, terminal="zero").build()
SLIGHT = {"rel": 0.08}  # of 2 and 4: levels are whole numbers, and the error has a next term


def walk(sampler: SamplerSpec, schedule: Schedule, gaussian: Any) -> list[SampleStep]:
    return list(sample(sampler, gaussian.denoiser(schedule), NOISE, torch.zeros(4, 1), seeds=range(4)))


def rms(error: Tensor) -> float:
    return float(error.square().mean().sqrt())


@pytest.mark.parametrize("schedule", [LINEAR, ZERO], ids=["linear", "zero"])
@pytest.mark.parametrize(
    "sampler",
    [
        Ddim(spacing="trailing"),
        Ddim(spacing="uniform"),
        Ddim(spacing="log-snr"),
        DpmSolver(spacing="uniform"),
        DpmSolver(spacing="log-snr"),
    ],
    ids=lambda sampler: f"{sampler.kind} {sampler.spacing}",
)
def test_twice_the_steps_come_closer_to_the_exact_sample_by_two_to_the_order(
    sampler: Any, schedule: Schedule, gaussian: Any
) -> None:
    exact = gaussian.answer(NOISE, schedule)
    coarse, fine = (
        rms(walk(sampler.model_copy(update={"steps": steps}), schedule, gaussian)[-1].clean - exact)
        for steps in (80, 160)
    )
    assert coarse / fine == pytest.approx(2**sampler.order, **SLIGHT)


@pytest.mark.parametrize("gamma", [0.5, 1, 2])
@pytest.mark.parametrize("kind", [Ddim, DpmSolver])
def test_trailing_levels_reach_the_middle_of_the_walk_at_the_declared_order(
    kind: Any, gamma: float, gaussian: Any
) -> None:
    # Their last step, from T / steps to 0, drops what noise is left there: an error as large as a second-order
    # solver's own and of the other sign, so that its order shows before that step only.
    schedule = Gamma(timesteps=4000, beta_start=1e-5, beta_end=0.005, gamma=gamma).build()
    exact = gaussian.estimate_on_the_way(NOISE, schedule, 2000)
    coarse, fine = (
        rms(step.clean - exact)
        for steps in (80, 160)
        for step in walk(kind(steps=steps, spacing="trailing"), schedule, gaussian)
        if step.t == 2000
    )
    assert coarse / fine == pytest.approx(2**kind.order, **SLIGHT)
