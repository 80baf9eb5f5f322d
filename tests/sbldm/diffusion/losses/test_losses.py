import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from sbldm.diffusion.losses import LOSSES, AnyLoss, Focal, FrequencyLossSpec, LossSpec, MeanSquaredError, Radial
from sbldm.diffusion.losses.frequency import error_power
from sbldm.diffusion.losses.radial import radius
from sbldm.diffusion.process import Estimate, Prediction, diffuse, estimate, target
from sbldm.diffusion.schedules import Linear
from sbldm.spec import Spec

SCHEDULE = Linear().build()
PREDICTIONS: tuple[Prediction, ...] = ("eps", "x0", "v")
RIVALS = [LOSSES.parse({"kind": kind, "snr_clip": clip}) for kind in LOSSES.kinds() for clip in (None, 5.0)]
FLAT: tuple[FrequencyLossSpec, ...] = (Radial(power=0), Focal(a=0))
LEVELS = torch.tensor([1, 100, 260, 700, 1000])


class Holder(Spec):
    loss: AnyLoss


def case(seed: int = 0, shape: tuple[int, ...] = (2, 8, 6)) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    clean, noise, off = torch.randn(3, len(LEVELS), *shape, generator=generator, dtype=torch.float64)
    return clean, noise, off


def value(loss: LossSpec, clean: Tensor, noise: Tensor, off: Tensor, prediction: Prediction) -> Tensor:
    return loss.per_sample(guess(clean, noise, off, prediction), clean, noise, LEVELS, SCHEDULE, prediction)


def guess(clean: Tensor, noise: Tensor, off: Tensor, prediction: Prediction) -> Estimate:
    """Return the estimate of a network that is off by ``off`` in its own prediction."""
    predicted = target(clean, noise, LEVELS, SCHEDULE, prediction) + off
    return estimate(predicted, diffuse(clean, noise, LEVELS, SCHEDULE), LEVELS, SCHEDULE, prediction)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("loss", RIVALS, ids=repr)
def test_the_truth_costs_nothing_and_anything_else_costs(loss: LossSpec, prediction: Prediction) -> None:
    clean, noise, off = case()
    assert_close(
        value(loss, clean, noise, 0 * off, prediction), torch.zeros(5, dtype=torch.float64), atol=1e-20, rtol=0
    )
    assert (value(loss, clean, noise, off, prediction) > 1e-6).all()


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("loss", RIVALS, ids=repr)
def test_a_sign_flipped_answer_is_wrong(loss: LossSpec, prediction: Prediction) -> None:
    clean, noise, _ = case()
    flipped = -2 * target(clean, noise, LEVELS, SCHEDULE, prediction)
    assert (value(loss, clean, noise, flipped, prediction) > 1e-6).all()


@pytest.mark.parametrize("loss", RIVALS, ids=repr)
def test_each_sample_has_its_own_loss(loss: LossSpec) -> None:
    clean, noise, off = case()
    whole = guess(clean, noise, off, "v")
    together = loss.per_sample(whole, clean, noise, LEVELS, SCHEDULE, "v")
    for i in range(len(LEVELS)):
        one = slice(i, i + 1)
        mine = Estimate(whole.clean[one], whole.noise[one])
        alone = loss.per_sample(mine, clean[one], noise[one], LEVELS[one], SCHEDULE, "v")
        assert_close(alone, together[one])


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("loss", RIVALS, ids=repr)
def test_the_gradient_points_home(loss: LossSpec, prediction: Prediction) -> None:
    clean, noise, off = case()
    off = off.requires_grad_()
    before = value(loss, clean, noise, off, prediction)
    (downhill,) = torch.autograd.grad(before.sum(), off)
    assert ((downhill * off).flatten(1).sum(1) > 0).all()
    lengths = (before / downhill.square().flatten(1).sum(1) / 100).detach()
    after = value(loss, clean, noise, off - lengths[:, None, None, None] * downhill, prediction)
    assert (after < before).all()


@pytest.mark.parametrize("loss", RIVALS, ids=repr)
def test_doubling_the_error_quadruples_the_loss(loss: LossSpec) -> None:
    clean, noise, off = case()
    assert_close(value(loss, clean, noise, 2 * off, "eps"), 4 * value(loss, clean, noise, off, "eps"))


@pytest.mark.parametrize("loss", RIVALS, ids=repr)
def test_settings_survive_json(loss: LossSpec) -> None:
    assert Holder.model_validate_json(Holder(loss=loss).model_dump_json()).loss == loss


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("flat", FLAT, ids=repr)
@given(clip=st.floats(0.1, 50), seed=st.integers(0, 1000))
def test_a_flat_frequency_term_is_the_squared_error(
    flat: FrequencyLossSpec, prediction: Prediction, clip: float, seed: int
) -> None:
    clean, noise, off = case(seed)
    found = guess(clean, noise, off, prediction)
    clipped = flat.model_copy(update={"snr_clip": clip})
    term = clipped.frequency_term(found, clean, noise, LEVELS, SCHEDULE)
    assert_close(term, value(MeanSquaredError(snr_clip=clip), clean, noise, off, prediction))


@pytest.mark.parametrize("flat", FLAT, ids=repr)
def test_a_flat_term_on_the_noise_is_the_plain_noise_error(flat: FrequencyLossSpec) -> None:
    clean, noise, off = case()
    on_noise = flat.model_copy(update={"space": "eps"})
    term = on_noise.frequency_term(guess(clean, noise, off, "eps"), clean, noise, LEVELS, SCHEDULE)
    assert_close(term, off.square().mean((1, 2, 3)))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_plain_loss_is_the_mean_square_of_the_networks_own_error(prediction: Prediction) -> None:
    clean, noise, off = case()
    assert_close(value(MeanSquaredError(), clean, noise, off, prediction), off.square().mean((1, 2, 3)))


def test_min_snr_weights_follow_their_formulas() -> None:
    clean, noise, off = case()
    snr = SCHEDULE.alpha_bar[LEVELS] / (1 - SCHEDULE.alpha_bar[LEVELS])
    clipped = torch.tensor([min(float(each), 5.0) for each in snr], dtype=torch.float64)
    weights = {"eps": clipped / snr, "x0": clipped, "v": clipped / (snr + 1)}
    assert snr[0] > 5 > snr[-1]
    for prediction in PREDICTIONS:
        weighted = value(MeanSquaredError(snr_clip=5), clean, noise, off, prediction)
        assert_close(weighted, weights[prediction] * off.square().mean((1, 2, 3)))


def test_the_frequency_term_clips_at_five_unless_told_otherwise() -> None:
    clean, noise, off = case()
    terms = [
        loss.frequency_term(guess(clean, noise, off, "x0"), clean, noise, LEVELS, SCHEDULE)
        for loss in (Radial(), Radial(snr_clip=5), Radial(snr_clip=6))
    ]
    assert torch.equal(terms[0], terms[1])
    assert terms[2][0] == pytest.approx(float(terms[1][0]) * 6 / 5)


def test_the_loss_adds_weight_times_the_frequency_term() -> None:
    clean, noise, off = case()
    loss = Radial(weight=0.25, power=1.5)
    term = loss.frequency_term(guess(clean, noise, off, "v"), clean, noise, LEVELS, SCHEDULE)
    assert_close(value(loss, clean, noise, off, "v"), off.square().mean((1, 2, 3)) + 0.25 * term)


@pytest.mark.parametrize(
    "loss", [*RIVALS, Radial(weight=0, snr_clip=5), Radial(weight=0, space="eps"), Focal(weight=0)]
)
def test_a_reduced_loss_has_to_the_bit_the_value_and_the_gradient_of_the_whole(loss: LossSpec) -> None:
    clean, noise, off = case()
    for prediction in PREDICTIONS:
        pulls = []
        for each in (loss, loss.reduced()):
            moved = off.clone().requires_grad_()
            cost = value(each, clean, noise, moved, prediction)
            pulls.append((cost, *torch.autograd.grad(cost.sum(), moved)))
        assert torch.equal(pulls[0][0], pulls[1][0])
        assert torch.equal(pulls[0][1], pulls[1][1])


def test_a_frequency_loss_without_weight_is_the_plain_loss() -> None:
    assert (
        Radial(weight=0, snr_clip=5).reduced() == Focal(weight=0, snr_clip=5).reduced() == MeanSquaredError(snr_clip=5)
    )
    assert Radial(weight=0.1).reduced() == Radial(weight=0.1)


@given(power=st.floats(-3, 3), r0=st.floats(0.01, 2), height=st.integers(1, 9), width=st.integers(2, 9))
def test_radial_weights_average_to_one(power: float, r0: float, height: int, width: int) -> None:
    weights = Radial(power=power, r0=r0).emphasis(torch.ones(1, 1, height, width, dtype=torch.float64))
    assert float(weights.mean()) == pytest.approx(1)
    order = radius(height, width).flatten().argsort()
    rise = weights.flatten()[order].diff()
    assert (rise * math.copysign(1, power) >= -1e-9).all()


@given(a=st.floats(0, 4), scale=st.floats(1e-6, 1e6))
def test_focal_weights_average_to_one_whatever_the_scale(a: float, scale: float) -> None:
    power = error_power(case()[2])
    weights = Focal(a=a).emphasis(power)
    assert_close(weights.mean((-2, -1)), torch.ones(5, 2, dtype=torch.float64))
    assert_close(Focal(a=a).emphasis(power * scale), weights)
    raised = power.sqrt() ** a
    assert_close(weights, raised / raised.mean((-2, -1), keepdim=True))


def test_radius_is_one_at_the_finest_pattern_along_an_axis() -> None:
    rings = radius(4, 8)
    assert rings[0, 0] == 0
    assert rings[2, 0] == rings[0, 4] == 1
    assert float(rings[2, 4]) == pytest.approx(math.sqrt(2))
    assert float(rings[1, 1]) == pytest.approx(math.hypot(0.5, 0.25))


def test_radial_prefers_what_its_power_says() -> None:
    rows = torch.arange(8, dtype=torch.float64)
    smooth = (2 * math.pi * rows / 8).cos()[:, None].expand(8, 8) * math.sqrt(2)
    stripes = (-1.0) ** rows[:, None].expand(8, 8)
    clean = noise = torch.zeros(5, 1, 8, 8, dtype=torch.float64)
    costs = {
        power: [float(value(Radial(power=power), clean, noise, clean + off, "x0")[0]) for off in (smooth, stripes)]
        for power in (-1, 0, 1)
    }
    assert costs[-1][0] > costs[-1][1]
    assert costs[0][0] == pytest.approx(costs[0][1])
    assert costs[1][0] < costs[1][1]


def test_error_power_agrees_with_numpy() -> None:
    off = case()[2]
    expected = np.abs(np.fft.fft2(off.numpy(), norm="ortho")) ** 2
    assert_close(error_power(off), torch.from_numpy(expected))


def test_focal_weights_send_no_gradient() -> None:
    power = error_power(case()[2]).requires_grad_()
    assert not Focal().emphasis(power).requires_grad


def test_spectra_are_taken_in_float32_under_half_precision() -> None:
    half = case()[2].to(torch.bfloat16)
    assert error_power(half).dtype == torch.float32
    assert_close(error_power(half).mean(), half.float().square().mean())
