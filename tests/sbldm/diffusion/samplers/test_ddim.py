import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sbldm.diffusion.process import Estimate
from sbldm.diffusion.samplers import Ddim, Ddpm, Move, posterior, sample, spaced_levels
from sbldm.diffusion.schedules import SCHEDULES, Linear
from sbldm.seeding import generator

SCHEDULE = Linear().build()


def start(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("steps", [4, 50])
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_the_walk_agrees_with_a_plain_rewriting_of_the_paper(steps: int, eta: float, gaussian: Any) -> None:
    noise = start(1, 6)
    got = list(sample(Ddim(steps=steps, eta=eta), gaussian.denoiser(SCHEDULE), noise, torch.zeros(1, 1), seeds=[11]))
    abar = np.concatenate([[1.0], np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))])
    draws, x = generator(11, "sampler"), noise[0].numpy()
    for i in range(steps):
        t, s = round(1000 - i * 1000 / steps), round(1000 - (i + 1) * 1000 / steps)
        a, ap = abar[t], abar[s]
        eps = math.sqrt(1 - a) * (x - math.sqrt(a) * gaussian.mean) / (a * gaussian.sd**2 + 1 - a)
        x0 = (x - math.sqrt(1 - a) * eps) / math.sqrt(a)
        assert_close(got[i].clean[0], torch.from_numpy(x0), rtol=1e-8, atol=1e-8)
        if s == 0:
            break
        sigma = eta * math.sqrt((1 - ap) / (1 - a)) * math.sqrt(1 - a / ap)
        x = math.sqrt(ap) * x0 + math.sqrt(1 - ap - sigma**2) * eps
        if eta:
            x = x + sigma * torch.randn(6, generator=draws).double().numpy()


@pytest.mark.slow
@pytest.mark.parametrize("prediction, theirs", [("eps", "epsilon"), ("v", "v_prediction"), ("x0", "sample")])
@pytest.mark.parametrize("steps", [10, 50])
def test_the_walk_agrees_with_diffusers(prediction: str, theirs: str, steps: int, gaussian: Any) -> None:
    diffusers = pytest.importorskip("diffusers.schedulers.scheduling_ddim")
    scheduler = diffusers.DDIMScheduler(
        beta_start=1e-4,
        beta_end=0.02,
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        prediction_type=theirs,
    )
    scheduler.alphas_cumprod = SCHEDULE.alpha_bar[1:]  # theirs is float32
    scheduler.set_timesteps(steps)
    denoiser, noisy, cues = gaussian.denoiser(SCHEDULE, prediction), start(2, 6), torch.zeros(2, 1)
    got = list(sample(Ddim(steps=steps), denoiser, noisy, cues, seeds=[0, 1]))
    for t in scheduler.timesteps:  # their 0 is our level 1
        predicted = denoiser.predictor(noisy, torch.full((2,), int(t) + 1), cues)
        noisy = scheduler.step(predicted, int(t), noisy).prev_sample
    assert_close(got[-1].clean, noisy, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("t, s", [(1000, 980), (300, 1), (2, 1)])
def test_full_eta_is_ancestral_sampling(t: int, s: int) -> None:
    noisy, clean, fresh = start(3, 1, 5)
    alpha_bar = float(SCHEDULE.alpha_bar[t])
    estimate = Estimate(clean, (noisy - alpha_bar**0.5 * clean) / (1 - alpha_bar) ** 0.5)
    move = Move(t, s, noisy, estimate, None, SCHEDULE, lambda: fresh)
    assert_close(Ddim(eta=1).step(move), Ddpm().step(move), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("t", [2, 17, 500, 1000])
def test_the_posterior_of_one_step_is_the_hand_formula(t: int) -> None:
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    abar = (1 - betas).cumprod(0)
    beta, now, then = float(betas[t - 1]), float(abar[t - 1]), float(abar[t - 2])
    to_clean, to_noisy, variance = posterior(SCHEDULE, t, t - 1)
    assert variance == pytest.approx((1 - then) / (1 - now) * beta, rel=1e-9)
    assert to_clean == pytest.approx(math.sqrt(then) * beta / (1 - now), rel=1e-9)
    assert to_noisy == pytest.approx(math.sqrt(1 - beta) * (1 - then) / (1 - now), rel=1e-9)


def test_the_posterior_keeps_the_marginal_between_any_two_levels() -> None:
    for t, s in ((1000, 1), (700, 300), (3, 2)):
        to_clean, to_noisy, variance = posterior(SCHEDULE, t, s)
        now, then = float(SCHEDULE.alpha_bar[t]), float(SCHEDULE.alpha_bar[s])
        assert to_clean + to_noisy * now**0.5 == pytest.approx(then**0.5, rel=1e-9)
        assert to_noisy**2 * (1 - now) + variance == pytest.approx(1 - then, rel=1e-9)


def test_trailing_and_uniform_levels_are_worked_out_by_hand() -> None:
    assert spaced_levels(SCHEDULE, 4, "trailing") == (1000, 750, 500, 250, 0)
    assert spaced_levels(SCHEDULE, 3, "trailing") == (1000, 667, 333, 0)
    assert spaced_levels(SCHEDULE, 4, "uniform") == (1000, 667, 334, 1, 0)


@pytest.mark.parametrize("kind", SCHEDULES.kinds())
def test_log_snr_levels_are_even_in_log_snr(kind: str) -> None:
    schedule = SCHEDULES[kind]().build()
    levels = spaced_levels(schedule, 12, "log-snr")
    assert (levels[0], levels[-2], levels[-1]) == (1000, 1, 0)
    log_snr = schedule.log_snr[1:]
    wishes = np.linspace(float(log_snr[-1]), float(log_snr[0]), 12)
    for level, wished in list(zip(levels, wishes, strict=False))[4:]:  # cosine has too few levels at the noisy end
        distances = (log_snr - wished).abs()
        assert distances[level - 1] == distances.min()


@pytest.mark.parametrize("spacing", ["trailing", "uniform", "log-snr"])
@pytest.mark.parametrize("terminal", ["free", "zero"])
def test_every_spacing_gives_exactly_the_steps_asked_for(spacing: Any, terminal: str) -> None:
    schedule = SCHEDULES.parse({"kind": "cosine", "timesteps": 60, "terminal": terminal}).build()
    for steps in range(1, 61):
        levels = spaced_levels(schedule, steps, spacing)
        assert len(levels) == steps + 1
        assert (levels[0], levels[-1]) == (60, 0)
        assert all(s < t for t, s in pairwise(levels))
