"""Laws of guidance, classifier-free (Ho & Salimans 2022, eq. 6) and by a weaker predictor (Karras et al. 2024, eq. 4),
on a Gaussian whose posterior is known exactly."""

import math
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from sbldm.diffusion import Denoiser, Prediction, sample, target
from sbldm.diffusion.guidance import autoguide, guide
from sbldm.diffusion.samplers.ddim import Ddim
from sbldm.diffusion.schedules.cosine import Cosine

SCHEDULE = Cosine(timesteps=200).build()
NOISY = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CUES = torch.tensor([[0.0], [1.0], [-2.0], [0.5], [3.0], [1.0]], dtype=torch.float64)
LEVELS = torch.tensor([1, 20, 80, 120, 160, 199])
MEANS, SDS, SHARES = (-1.5, 1.0), (0.3, 0.6), (0.4, 0.6)


def blank(cues: Tensor) -> Tensor:
    return torch.zeros_like(cues)


@pytest.mark.parametrize("prediction", get_args(Prediction))
@pytest.mark.parametrize("scale", [0.0, 0.7, 4.0, -0.5])
def test_the_guided_noise_is_the_formula_for_every_kind_of_prediction(
    gaussian: Any, prediction: Prediction, scale: float
) -> None:
    denoiser = gaussian.denoiser(SCHEDULE, prediction)
    told, untold = denoiser(NOISY, LEVELS, CUES), denoiser(NOISY, LEVELS, blank(CUES))
    guided = guide(denoiser, scale, blank)(NOISY, LEVELS, CUES)
    torch.testing.assert_close(guided.noise, (1 + scale) * told.noise - scale * untold.noise, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(guided.clean, (1 + scale) * told.clean - scale * untold.clean, rtol=1e-9, atol=1e-9)


def test_scale_zero_is_the_conditional_model_and_minus_one_the_unconditional(gaussian: Any) -> None:
    denoiser = gaussian.denoiser(SCHEDULE)
    assert guide(denoiser, 0.0, blank) is denoiser
    found = guide(denoiser, -1.0, blank)(NOISY, LEVELS, CUES)
    torch.testing.assert_close(found.clean, denoiser(NOISY, LEVELS, blank(CUES)).clean)


def test_the_guided_estimate_is_linear_in_the_scale(gaussian: Any) -> None:
    one, two, three = (guide(gaussian.denoiser(SCHEDULE), w, blank)(NOISY, LEVELS, CUES).clean for w in (0.5, 1.5, 2.5))
    torch.testing.assert_close(three - two, two - one)


def test_one_call_on_the_doubled_batch_is_two_calls(gaussian: Any) -> None:
    inner, sizes = gaussian.denoiser(SCHEDULE), []

    def counting(noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
        sizes.append(len(noisy))
        return inner.predictor(noisy, t, cues)  # type: ignore[no-any-return]

    guided = guide(Denoiser(counting, SCHEDULE, "v"), 2.0, blank)(NOISY, LEVELS, CUES)
    apart = 3 * inner(NOISY, LEVELS, CUES).clean - 2 * inner(NOISY, LEVELS, blank(CUES)).clean
    assert sizes == [2 * len(NOISY)]
    torch.testing.assert_close(guided.clean, apart, rtol=1e-9, atol=1e-9)


def test_the_difference_is_taken_in_the_precision_of_the_noisy_sample(gaussian: Any) -> None:
    """In bfloat16 itself, 1 + w and the difference would each be rounded to three digits."""
    inner = gaussian.denoiser(SCHEDULE, "eps").predictor

    def half(noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
        return inner(noisy, t, cues).bfloat16()  # type: ignore[no-any-return]

    guided = guide(Denoiser(half, SCHEDULE, "eps"), 1.3, blank)(NOISY, LEVELS, CUES)
    told, untold = half(NOISY, LEVELS, CUES).double(), half(NOISY, LEVELS, blank(CUES)).double()
    assert torch.equal(guided.noise, (1 + 1.3) * told - 1.3 * untold)


@pytest.mark.parametrize("scale", [-1.5, math.nan, math.inf])
def test_a_scale_without_meaning_is_refused(gaussian: Any, scale: float) -> None:
    with pytest.raises(ValueError, match="guidance must be -1 or more and finite"):
        guide(gaussian.denoiser(SCHEDULE), scale, blank)


def test_guidance_shifts_the_mean_of_gaussian_data_as_the_formula_says(gaussian: Any) -> None:
    """N(m + c, sd^2) against N(m, sd^2): the guided score is that of N(m + (1 + w) c, sd^2) at every level.

    So the walk with scale w and cue c must end where the plain walk with the cue (1 + w) c ends, sample by sample.
    """
    cues = torch.full((6, 1), 0.4, dtype=torch.float64)
    guided = _walk(guide(gaussian.denoiser(SCHEDULE), 2.0, blank), cues)
    torch.testing.assert_close(guided, _walk(gaussian.denoiser(SCHEDULE), 3 * cues), rtol=1e-9, atol=1e-9)
    assert float((guided - _walk(gaussian.denoiser(SCHEDULE), cues)).mean()) > 0.5


def test_a_guided_mixture_is_the_tilted_mixture_at_the_last_levels() -> None:
    """Component c of a mixture against the whole: eps is -s times the score, so the guided one is -s times the
    gradient of log p(x|c) + w log p(c|x), here by automatic differentiation of the two densities."""
    x = torch.linspace(-3, 3, 12, dtype=torch.float64).reshape(12, 1).requires_grad_()
    t, cues = torch.full((12,), 60), torch.ones(12, 1, dtype=torch.float64)
    alpha_bar = float(SCHEDULE.alpha_bar[60])
    whole, one = (_log_density(x, alpha_bar, picked) for picked in ((0, 1), (1,)))
    posterior = one + math.log(SHARES[1]) - whole
    (slope,) = torch.autograd.grad((one + 1.7 * posterior).sum(), x)
    found = guide(Denoiser(_predict_mixture, SCHEDULE, "eps"), 1.7, blank)(x.detach(), t, cues)
    torch.testing.assert_close(found.noise, -math.sqrt(1 - alpha_bar) * slope, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("prediction", get_args(Prediction))
def test_autoguidance_is_classifier_free_guidance_where_the_weaker_one_is_the_unconditional(
    gaussian: Any, prediction: Prediction
) -> None:
    denoiser = gaussian.denoiser(SCHEDULE, prediction)

    def untold(noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
        return denoiser.predictor(noisy, t, blank(cues))  # type: ignore[no-any-return]

    found = autoguide(denoiser, 1.3, untold)(NOISY, LEVELS, CUES)
    torch.testing.assert_close(found.clean, guide(denoiser, 1.3, blank)(NOISY, LEVELS, CUES).clean)


def test_the_autoguided_score_is_that_of_the_tilted_density() -> None:
    """One component of a mixture led away from the whole: p1 (p1 / p)^w, its slope by automatic differentiation."""
    x = torch.linspace(-3, 3, 12, dtype=torch.float64).reshape(12, 1).requires_grad_()
    t, cues = torch.full((12,), 60), torch.ones(12, 1, dtype=torch.float64)
    alpha_bar = float(SCHEDULE.alpha_bar[60])
    whole, one = (_log_density(x, alpha_bar, picked) for picked in ((0, 1), (1,)))
    (slope,) = torch.autograd.grad((one + 0.8 * (one - whole)).sum(), x)

    def weaker(noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
        return _predict_mixture(noisy, t, blank(cues))

    found = autoguide(Denoiser(_predict_mixture, SCHEDULE, "eps"), 0.8, weaker)(x.detach(), t, cues)
    torch.testing.assert_close(found.noise, -math.sqrt(1 - alpha_bar) * slope, rtol=1e-9, atol=1e-9)


def test_a_predictor_cannot_be_led_away_from_itself_and_zero_leads_nowhere(gaussian: Any) -> None:
    denoiser = gaussian.denoiser(SCHEDULE)
    assert autoguide(denoiser, 0.0, denoiser.predictor) is denoiser
    found = autoguide(denoiser, 3.0, denoiser.predictor)(NOISY, LEVELS, CUES)
    torch.testing.assert_close(found.clean, denoiser(NOISY, LEVELS, CUES).clean)


@pytest.mark.parametrize("scale", [-0.1, math.nan, math.inf])
def test_autoguidance_without_meaning_is_refused(gaussian: Any, scale: float) -> None:
    denoiser = gaussian.denoiser(SCHEDULE)
    with pytest.raises(ValueError, match="autoguidance must be 0 or more and finite"):
        autoguide(denoiser, scale, denoiser.predictor)


def _walk(denoiser: Denoiser, cues: Tensor) -> Tensor:
    return list(sample(Ddim(steps=20), denoiser, NOISY, cues, seeds=range(6)))[-1].clean


def _log_density(x: Tensor, alpha_bar: float, picked: tuple[int, ...]) -> Tensor:
    """Return the log density of the picked components at this level, their shares summing to 1."""
    parts = []
    for index in picked:
        variance = alpha_bar * SDS[index] ** 2 + 1 - alpha_bar
        share = SHARES[index] / sum(SHARES[i] for i in picked)
        square = (x - math.sqrt(alpha_bar) * MEANS[index]) ** 2 / variance
        parts.append(math.log(share) - 0.5 * square - 0.5 * math.log(2 * math.pi * variance))
    return torch.stack(parts).logsumexp(0)


def _predict_mixture(noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
    """Return the noise by Bayes' rule: the mean over components; a cue of 1 says that it is the second."""
    alpha_bar = SCHEDULE.at(t, noisy)
    clean, weights = [], []
    for mean, sd, share in zip(MEANS, SDS, SHARES, strict=True):
        variance = alpha_bar * sd**2 + 1 - alpha_bar
        surprise = noisy - alpha_bar.sqrt() * mean
        clean.append(mean + alpha_bar.sqrt() * sd**2 * surprise / variance)
        weights.append(math.log(share) - 0.5 * surprise**2 / variance - 0.5 * variance.log())
    told = torch.tensor([0.0, 1.0], dtype=torch.float64).reshape(2, 1, 1)
    chances = torch.where(cues.bool(), told, torch.stack(weights).softmax(0))
    found = (chances * torch.stack(clean)).sum(0)
    noise = (noisy - alpha_bar.sqrt() * found) / (1 - alpha_bar).sqrt()
    return target(found, noise, t, SCHEDULE, "eps")
