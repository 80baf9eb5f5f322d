import pytest
import torch

from sbldm.diffusion import SAMPLERS, Denoiser, SamplerSpec, sample
from sbldm.diffusion.schedules import SCHEDULES
from sbldm.model.coherence import CoherentSampler, NoiseField

PLACES = tuple(torch.linspace(-0.9, 0.7, 9).tolist())
COSINE = SCHEDULES.parse({"kind": "cosine", "timesteps": 100}).build()
STEPS = 12
SAMPLER_KINDS = [
    {"kind": "ddim", "steps": STEPS},
    {"kind": "ddim", "steps": STEPS, "eta": 1.0},
    {"kind": "ddpm", "steps": STEPS},
    {"kind": "dpm-solver", "steps": STEPS},
]


def kernel(length: float, places: tuple[float, ...] = PLACES) -> torch.Tensor:
    """Return the squared exponential covariance that is promised."""
    apart = torch.tensor(places, dtype=torch.float64)[:, None] - torch.tensor(places, dtype=torch.float64)
    return torch.exp(-(apart**2) / (2 * length**2))


def shrink(noisy: torch.Tensor, t: torch.Tensor, cues: torch.Tensor) -> torch.Tensor:
    """Predict the clean sample exactly where the data are normal with variance 1/4."""
    alpha_bar = COSINE.at(t, noisy)
    return (alpha_bar.sqrt() / 4 / (alpha_bar / 4 + 1 - alpha_bar)).to(noisy.dtype) * noisy


def walk(sampler: SamplerSpec, noise: torch.Tensor) -> torch.Tensor:
    cues, seeds = torch.zeros(len(noise), 1), list(range(len(noise)))
    return [*sample(sampler, Denoiser(shrink, COSINE, "x0"), noise, cues, seeds=seeds)][-1].clean


@pytest.mark.parametrize("length", [0.05, 0.3, 2.0, 50.0])
def test_the_covariance_is_the_promised_kernel_and_every_variance_is_one(length: float) -> None:
    _, weights = NoiseField(0, PLACES, length).weights()
    covariance = weights @ weights.T
    torch.testing.assert_close(covariance.diagonal(), torch.ones(9, dtype=torch.float64), rtol=0, atol=1e-15)
    torch.testing.assert_close(covariance, kernel(length), rtol=0, atol=1e-10)  # knots beyond exp(-25) are cut


def test_without_length_the_slices_are_independent() -> None:
    _, weights = NoiseField(0, PLACES, 0.0).weights()
    assert torch.equal(weights @ weights.T, torch.eye(9, dtype=torch.float64))


@pytest.mark.parametrize("length", [0.0, 0.4])
def test_each_slice_alone_sees_standard_normal_noise(length: float) -> None:
    """Each slice's 20 000 values against the normal distribution, by Kolmogorov and Smirnov: 1.95 is p = 0.001."""
    values = NoiseField(3, PLACES, length).draw((20_000,)).double().sort(1).values
    expected = torch.special.ndtr(values)
    steps = torch.arange(1, 20_001, dtype=torch.float64) / 20_000
    assert ((steps - expected).abs().amax(1) * 20_000**0.5).max() < 1.95


def test_finer_slices_see_the_same_noise() -> None:
    fine = torch.linspace(-1, 1, 33)
    whole, some = (NoiseField(0, tuple(places.tolist()), 0.3).draw((50,)) for places in (fine, fine[::4]))
    torch.testing.assert_close(whole[::4], some, rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [0.0, 0.3])
def test_slices_drawn_in_parts_are_those_drawn_at_once(length: float) -> None:
    field = NoiseField(0, PLACES, length)
    parts = torch.cat([part.draw((5,), "start") for part in field.split(4)])
    torch.testing.assert_close(parts, field.draw((5,), "start"), rtol=0, atol=1e-6)


def test_streams_and_volumes_are_independent() -> None:
    draws = [NoiseField(seed, PLACES, 1.0).draw((20_000,), name) for seed in (0, 1) for name in ("a", "b")]
    correlation = torch.corrcoef(torch.stack([draw[4] for draw in draws])).fill_diagonal_(0)
    assert correlation.abs().max() < 0.03  # 4 standard errors of 20 000 values


@pytest.mark.parametrize("settings", SAMPLER_KINDS, ids=lambda each: f"{each['kind']}-{each.get('eta', '')}")
def test_what_is_sampled_hangs_together_as_the_noise_does(settings: dict[str, object]) -> None:
    """A walk with a linear denoiser is linear in all its noise: the kernel comes through whatever the sampler."""
    inner = SAMPLERS.parse(settings)
    field = NoiseField(0, PLACES, 0.5)
    coherent = walk(CoherentSampler(inner=inner, field=field), field.draw((30_000,), "start")).double()
    alone = walk(inner, torch.randn(9, 30_000, generator=torch.Generator().manual_seed(1))).double()
    torch.testing.assert_close(torch.corrcoef(coherent), kernel(0.5), rtol=0, atol=0.03)
    torch.testing.assert_close(coherent.std(1), alone.std(1).mean().expand(9), rtol=0.02, atol=0)


def test_a_coherent_walk_never_stops_early() -> None:
    eager = SAMPLERS.parse({"kind": "adaptive", "threshold": 100.0, "patience": 1, "snr_min": 1e-6})
    assert eager.stopping is not None
    assert CoherentSampler(inner=eager, field=NoiseField(0, PLACES, 0.5)).stopping is None
