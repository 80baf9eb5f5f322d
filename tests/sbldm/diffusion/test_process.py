import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sbldm.diffusion.process import Denoiser, Prediction, check_prediction, diffuse, estimate, target
from sbldm.diffusion.schedules import SCHEDULES, Cosine, Linear
from sbldm.errors import ConfigError

PREDICTIONS: tuple[Prediction, ...] = ("eps", "x0", "v")
TINY = Linear(timesteps=2, beta_start=0.64, beta_end=0.91).build()  # alpha_bar 1, 0.36, 0.0324: roots 0.6 and 0.18


def draws(*shape: int) -> tuple[Tensor, Tensor]:
    pair = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return pair[0], pair[1]


def test_each_target_is_worked_out_by_hand() -> None:
    clean, noise, t = torch.tensor([[2.0]]), torch.tensor([[-1.0]]), torch.tensor([1])
    assert_close(diffuse(clean, noise, t, TINY), torch.tensor([[0.6 * 2 + 0.8 * -1]]))
    assert_close(target(clean, noise, t, TINY, "eps"), torch.tensor([[-1.0]]))
    assert_close(target(clean, noise, t, TINY, "x0"), torch.tensor([[2.0]]))
    assert_close(target(clean, noise, t, TINY, "v"), torch.tensor([[0.6 * -1 - 0.8 * 2]]))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("kind", SCHEDULES.kinds())
def test_the_true_target_gives_clean_and_noise_back_at_every_level(kind: str, prediction: Prediction) -> None:
    schedule = SCHEDULES[kind]().build()
    t = torch.arange(1, schedule.timesteps + 1)
    clean, noise = draws(len(t), 2, 3)
    noisy = diffuse(clean, noise, t, schedule)
    found = estimate(target(clean, noise, t, schedule, prediction), noisy, t, schedule, prediction)
    assert_close(found.clean, clean, rtol=0, atol=1e-9)  # eps divides by a root of 5e-5 at the last cosine level
    assert_close(found.noise, noise, rtol=0, atol=1e-9)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_float32_estimates_stay_close_where_one_minus_alpha_bar_cancels(prediction: Prediction) -> None:
    schedule = Cosine().build()
    clean, noise = draws(1, 64)
    t = torch.tensor([1])  # 1 - alpha_bar is 4e-5: rooted in float32 it would be off by 1e-3
    noisy = diffuse(clean, noise, t, schedule).float()
    truth = target(clean, noise, t, schedule, prediction).float()
    found = estimate(truth, noisy, t, schedule, prediction)
    assert found.clean.dtype == torch.float32
    assert_close(found.clean.double(), clean, rtol=0, atol=1e-6)
    weight = diffuse(torch.zeros(1, 64), torch.ones(1, 64), t, schedule)
    exact = (1 - schedule.alpha_bar[1]).sqrt()
    assert_close(weight.double(), exact.expand(1, 64), rtol=1e-7, atol=0)


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_pure_noise_at_a_zero_terminal_is_read_without_nan(prediction: Prediction) -> None:
    schedule = Linear(terminal="zero").build()
    clean, noise = draws(1, 5)
    t = torch.tensor([1000])
    noisy = diffuse(clean, noise, t, schedule)
    assert torch.equal(noisy, noise)
    found = estimate(target(clean, noise, t, schedule, prediction), noisy, t, schedule, prediction)
    assert_close(found.clean, clean)
    assert_close(found.noise, noise)


def test_noise_prediction_is_refused_at_a_zero_terminal_alone() -> None:
    zero, free = Linear(terminal="zero").build(), Linear().build()
    with pytest.raises(ConfigError, match="needs prediction 'v' or 'x0', but got 'eps'"):
        check_prediction(zero, "eps")
    with pytest.raises(ConfigError, match="zero terminal"):
        Denoiser(lambda noisy, t, cues: noisy, zero, "eps")
    for schedule, prediction in ((zero, "v"), (zero, "x0"), (free, "eps")):
        check_prediction(schedule, prediction)


def test_a_denoiser_asks_its_predictor_once_and_answers_in_the_precision_of_its_input() -> None:
    asked = []

    def predictor(noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
        asked.append((t.tolist(), cues.tolist()))
        return torch.ones_like(noisy, dtype=torch.bfloat16)

    noisy, t, cues = torch.full((2, 3), 1.4), torch.tensor([1, 2]), torch.tensor([[0.5], [-0.5]])
    found = Denoiser(predictor, TINY, "eps")(noisy, t, cues)
    assert asked == [([1, 2], [[0.5], [-0.5]])]
    assert found.noise.dtype == torch.float32
    assert_close(found.clean[0], torch.full((3,), (1.4 - 0.8) / 0.6))
