import math

import pytest
import torch
from scipy import stats

from sbldm.diffusion import SCHEDULES, Denoiser
from sbldm.training import BinLoss, loss_intervals, validation_loss

SCHEDULE = SCHEDULES.parse({"kind": "cosine", "timesteps": 200}).build()
LATENTS = torch.randn(300, 2, 4, 4, generator=torch.Generator().manual_seed(0))
CUES = torch.zeros(300, 2)


def shrink(noisy: torch.Tensor, t: torch.Tensor, cues: torch.Tensor) -> torch.Tensor:
    """Return the posterior mean of standard normal latents."""
    return SCHEDULE.at(t, noisy).sqrt().float() * noisy


def test_the_exact_denoiser_of_a_gaussian_leaves_its_posterior_variance() -> None:
    found = validation_loss(Denoiser(shrink, SCHEDULE, "x0"), LATENTS, CUES, seed=0)
    for each in found:
        inside = (SCHEDULE.log_snr >= each.low) & (SCHEDULE.log_snr < each.high)
        expected = float((1 - SCHEDULE.alpha_bar[inside]).mean())
        assert each.clean_error == pytest.approx(expected, rel=0.15)  # levels are drawn, 300 of them
    errors = [each.clean_error for each in found]
    assert errors == sorted(errors, reverse=True)


def test_clean_and_noise_errors_differ_by_the_signal_to_noise_ratio() -> None:
    log_snr = float(SCHEDULE.log_snr[100])
    (found,) = validation_loss(
        Denoiser(shrink, SCHEDULE, "x0"), LATENTS, CUES, seed=0, edges=(log_snr - 1e-6, log_snr + 1e-6)
    )
    assert found.noise_error == pytest.approx(found.clean_error * float(SCHEDULE.snr[100]), rel=1e-4)


def test_the_result_depends_on_the_seed_and_not_on_the_batch() -> None:
    denoiser = Denoiser(shrink, SCHEDULE, "x0")
    one, other = (validation_loss(denoiser, LATENTS, CUES, seed=0, batch=batch) for batch in (300, 7))
    assert [x.clean_error for x in one] == pytest.approx([x.clean_error for x in other], rel=1e-6)
    assert validation_loss(denoiser, LATENTS, CUES, seed=1)[0] != one[0]


def test_bins_the_schedule_never_reaches_are_left_out() -> None:
    found = validation_loss(Denoiser(shrink, SCHEDULE, "x0"), LATENTS, CUES, seed=0, edges=(-200.0, -100.0, 0.0, 2.0))
    assert [each.low for each in found] == [-100.0, 0.0]


def test_an_interval_of_equal_patients_is_students_by_an_independent_implementation() -> None:
    """With as many slices each, the jackknife over patients is the t interval of their means, as scipy gives it."""
    errors = torch.rand(24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    each = BinLoss(-2.0, 0.0, float(errors.mean()), 0.0, 24, tuple(errors.tolist()))
    patients = torch.arange(24) % 6 + 10
    found = loss_intervals([each], patients, level=0.9)["validation/loss_snr_-2_0"]
    means = torch.stack([errors[patients == p].mean() for p in range(10, 16)]).numpy()
    low, high = stats.t.interval(0.9, 5, loc=means.mean(), scale=stats.sem(means))
    assert (found.point, found.low, found.high) == pytest.approx((means.mean(), low, high))
    assert found.patients == 6


def test_one_patient_has_a_loss_but_no_interval() -> None:
    (found,) = loss_intervals([BinLoss(0.0, 2.0, 0.5, 0.5, 2, (0.4, 0.6))], torch.zeros(2, dtype=torch.long)).values()
    assert found.point == pytest.approx(0.5)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_every_bin_keeps_the_error_of_each_latent() -> None:
    for each in validation_loss(Denoiser(shrink, SCHEDULE, "x0"), LATENTS, CUES, seed=0):
        assert len(each.clean_errors) == each.n == 300
        assert sum(each.clean_errors) / 300 == pytest.approx(each.clean_error)
