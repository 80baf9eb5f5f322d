import pytest
import torch

from sbldm.diffusion import SCHEDULES, Denoiser
from sbldm.training import validation_loss

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
