import pytest
import torch
from torch import Tensor, nn

from sbldm.diffusion import SCHEDULES, SKIPS, Denoiser, Prediction, Schedule, diffuse
from sbldm.diffusion.guidance import autoguide
from sbldm.diffusion.samplers import DpmSolver, sample
from sbldm.diffusion.skips import GaussianSkip, NoSkip, Skipped
from sbldm.diffusion.skips.gaussian import measure_gaussian

SHAPE = (2, 2, 3)
WIDTH = 12


class Answer(nn.Module):
    """Answers with one number everywhere, and remembers what it saw."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value, self.seen = nn.Parameter(torch.tensor(value)), torch.empty(0)

    def forward(self, noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
        self.seen = noisy
        return self.value.expand_as(noisy)


@pytest.fixture
def schedule() -> Schedule:
    return SCHEDULES.parse({"kind": "linear"}).build()


def law(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return coefficients of a mean that is quadratic in the position, and a full covariance."""
    draws = torch.Generator().manual_seed(seed)
    root = torch.randn(WIDTH, WIDTH, generator=draws, dtype=torch.float64) / 3
    return torch.randn(3, WIDTH, generator=draws, dtype=torch.float64), root @ root.T + 0.02 * torch.eye(WIDTH)


def draw(count: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Return latents of that law, and their positions."""
    coefficients, covariance = law()
    draws = torch.Generator().manual_seed(seed)
    positions = torch.rand(count, generator=draws, dtype=torch.float64) * 2 - 1
    white = torch.randn(count, WIDTH, generator=draws, dtype=torch.float64)
    rows = positions[:, None] ** torch.arange(3) @ coefficients + white @ torch.linalg.cholesky(covariance).T
    return rows.float().reshape(count, *SHAPE), positions.float()


def flat(drawn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return drawn[0].flatten(1), drawn[1]


def cues_of(positions: Tensor) -> Tensor:
    return torch.stack([positions, torch.zeros_like(positions)], dim=1)


def make(
    schedule: Schedule, prediction: Prediction, *, answer: float = 0.0, count: int = 40_000, **changes: int
) -> Skipped:
    spec = GaussianSkip.model_validate({"degree": 2} | changes)
    module = spec.wrap(lambda channels: Answer(answer), SHAPE, schedule=schedule, prediction=prediction)
    spec.fit(module, *draw(count))
    assert isinstance(module, Skipped)
    return module


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_with_a_silent_network_it_is_the_posterior_mean_of_gaussian_latents(
    schedule: Schedule, prediction: Prediction
) -> None:
    """Against the textbook formula for a joint normal law, with its covariance inverted outright."""
    module = make(schedule, prediction)
    coefficients, covariance = law()
    clean, positions = draw(6, seed=9)
    for level in (3, 200, 600, 1000):
        t = torch.full((6,), level)
        noisy = diffuse(clean, torch.randn(clean.shape, generator=torch.Generator().manual_seed(4)), t, schedule)
        found = Denoiser(module, schedule, prediction)(noisy, t, cues_of(positions)).clean.detach()
        alpha_bar = schedule.alpha_bar[level]
        mean = positions.double()[:, None] ** torch.arange(3) @ coefficients
        total = alpha_bar * covariance + (1 - alpha_bar) * torch.eye(WIDTH)
        gain = alpha_bar.sqrt() * covariance @ torch.linalg.inv(total)
        truth = mean + (noisy.flatten(1).double() - alpha_bar.sqrt() * mean) @ gain.T
        # 40000 rows know mean and covariance to about 1 %; eps is divided by the root of alpha_bar, 0.006 at level 1000
        tolerance = 0.05 if (prediction, level) != ("eps", 1000) else 0.1
        torch.testing.assert_close(found.flatten(1).double(), truth, rtol=0, atol=tolerance)


def test_no_linear_denoiser_has_less_error_and_the_network_answers_in_units_of_it(schedule: Schedule) -> None:
    """The error that the closed form foretells is the one it makes on latents it has not seen."""
    module = make(schedule, "x0")
    clean, positions = draw(4000, seed=5)
    t = torch.full((4000,), 300)
    noisy = diffuse(clean, torch.randn(clean.shape, generator=torch.Generator().manual_seed(2)), t, schedule)
    estimate, error = module.estimate(noisy, t, positions)
    made = (estimate - clean).square().mean()
    assert float(error.square().mean()) == pytest.approx(float(made), rel=0.03)
    for factor in (0.9, 1.1):
        assert float((factor * estimate - clean).square().mean()) > float(made)
    louder = make(schedule, "x0", answer=0.5)(noisy, t, cues_of(positions)).detach()
    torch.testing.assert_close(louder, estimate + 0.5 * error.expand_as(estimate))


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_with_a_silent_network_noise_flows_to_the_measured_law(schedule: Schedule, prediction: Prediction) -> None:
    """The flow of a normal law is linear and known: along each axis of the covariance quantiles stay."""
    module = make(schedule, prediction, count=500)
    noise = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(6))
    denoiser = Denoiser(module, schedule, prediction)
    with torch.no_grad():
        for step in sample(DpmSolver(steps=200), denoiser, noise, cues_of(torch.full((8,), 0.5)), seeds=range(8)):
            last = step
    found = measure_gaussian(*flat(draw(500)), degree=2, rank=WIDTH)
    mean = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64) @ found.mean
    alpha_bar = schedule.alpha_bar[-1]
    quantile = (noise.flatten(1).double() - alpha_bar.sqrt() * mean) @ found.axes
    quantile = quantile / (alpha_bar * found.variances + 1 - alpha_bar).sqrt()
    truth = mean + (quantile * found.variances.sqrt()) @ found.axes.T
    torch.testing.assert_close(last.clean.flatten(1).double(), truth, rtol=0, atol=0.02)  # second order, 200 steps


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_closed_form_is_the_prediction_of_a_silent_network(schedule: Schedule, prediction: Prediction) -> None:
    module, silent = (make(schedule, prediction, count=500, answer=answer) for answer in (0.7, 0.0))
    noisy, positions = draw(3)
    asked = noisy, torch.tensor([1, 500, 1000]), cues_of(positions)
    torch.testing.assert_close(GaussianSkip().closed_form(module)(*asked), silent(*asked))
    assert not torch.allclose(module(*asked), silent(*asked))


def test_autoguidance_makes_the_networks_answer_louder(schedule: Schedule) -> None:
    """Led on by w from the closed form, what a network adds to it counts 1 + w times."""
    module, louder = (make(schedule, "v", count=500, answer=answer) for answer in (0.2, 0.5))
    noisy, positions = draw(3)
    asked = noisy, torch.tensor([1, 500, 1000]), cues_of(positions)
    found = autoguide(Denoiser(module, schedule, "v"), 1.5, GaussianSkip().closed_form(module))(*asked)
    torch.testing.assert_close(found.clean, Denoiser(louder, schedule, "v")(*asked).clean)


def test_the_network_sees_the_noisy_latent_and_the_estimate(schedule: Schedule) -> None:
    module = make(schedule, "v", count=500)
    clean, positions = draw(3, seed=5)
    t = torch.tensor([1, 500, 1000])
    module(clean, t, cues_of(positions))
    assert isinstance(module.network, Answer)
    torch.testing.assert_close(module.network.seen[:, :2], clean)
    torch.testing.assert_close(module.network.seen[:, 2:], module.estimate(clean, t, positions)[0])
    assert GaussianSkip().channels(2) == 4


def test_few_axes_keep_the_total_variance_and_leave_the_rest_alike() -> None:
    rows, positions = flat(draw(20_000))
    full = measure_gaussian(rows, positions, degree=2, rank=WIDTH)
    few = measure_gaussian(rows, positions, degree=2, rank=3)
    torch.testing.assert_close(few.variances, full.variances[:3])
    total = few.variances.sum() + (WIDTH - 3) * few.rest
    torch.testing.assert_close(total, full.variances.sum())
    coefficients, covariance = law()
    torch.testing.assert_close(full.axes @ full.variances.diag() @ full.axes.T, covariance, rtol=0, atol=0.1)
    torch.testing.assert_close(full.mean, coefficients, rtol=0, atol=0.15)


def test_axes_are_told_apart_only_where_slices_suffice() -> None:
    rows, positions = draw(8)
    few = measure_gaussian(rows.flatten(1), positions, degree=2, rank=WIDTH)
    assert few.axes.shape == (WIDTH, 4)
    assert float(few.rest) > 0


def test_one_position_has_one_mean() -> None:
    rows, _ = draw(50)
    found = measure_gaussian(rows.flatten(1), torch.full((50,), 0.3), degree=4, rank=2)
    torch.testing.assert_close(found.mean[0], rows.flatten(1).double().mean(0))
    assert not found.mean[1:].any()


def test_a_module_not_yet_fitted_takes_latents_for_standard_normal(schedule: Schedule) -> None:
    module = GaussianSkip(rank=5).wrap(lambda channels: Answer(), SHAPE, schedule=schedule, prediction="x0")
    noisy, t = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.tensor([10, 700])
    found = module(noisy, t, torch.zeros(2, 2)).detach()
    torch.testing.assert_close(found, schedule.at(t, noisy).sqrt().float() * noisy)


def test_what_is_fitted_travels_with_the_weights(schedule: Schedule) -> None:
    fitted = make(schedule, "v", count=500)
    empty = GaussianSkip(degree=2).wrap(lambda channels: Answer(), SHAPE, schedule=schedule, prediction="v")
    empty.load_state_dict(fitted.state_dict())
    clean, positions = draw(3)
    t = torch.tensor([1, 500, 1000])
    assert empty(clean, t, cues_of(positions)).equal(fitted(clean, t, cues_of(positions)))


def test_without_a_skip_the_network_stands_alone(schedule: Schedule) -> None:
    network = Answer(1.0)
    assert NoSkip().wrap(lambda channels: network, SHAPE, schedule=schedule, prediction="x0") is network
    assert [SKIPS[kind]().channels(8) for kind in SKIPS.kinds()] == [16, 8]
