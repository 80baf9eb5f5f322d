from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from sbldm.diffusion.process import Denoiser, Estimate, diffuse, estimate
from sbldm.diffusion.samplers import SAMPLERS, Adaptive, Ddim, SampleStep, record, relative_error, replay, sample
from sbldm.diffusion.samplers.stopping import Stopping, mean_square
from sbldm.diffusion.schedules import Cosine, Linear

SCHEDULE = Linear().build()
INNERS = [
    Ddim(steps=40),
    Ddim(steps=40, eta=0.6),
    SAMPLERS.parse({"kind": "ddpm", "steps": 40}),
    SAMPLERS.parse({"kind": "dpm-solver", "steps": 40, "spacing": "trailing"}),
]
every_inner = pytest.mark.parametrize("inner", INNERS, ids=lambda inner: inner.model_dump_json())
CUES = torch.tensor([[0.0], [3.0], [20.0], [1.0]], dtype=torch.float64)  # a larger mean is known sooner


def walk(sampler: Any, denoiser: Denoiser) -> list[SampleStep]:
    noise = torch.randn(4, 300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return list(sample(sampler, denoiser, noise, CUES, seeds=range(4)))


@every_inner
def test_finished_samples_leave_the_batch_and_keep_their_estimate(inner: Any, gaussian: Any) -> None:
    rows, denoiser = [], gaussian.denoiser(SCHEDULE)

    def counted(noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
        rows.append(len(noisy))
        return denoiser.predictor(noisy, t, cues)

    steps = walk(Adaptive(inner=inner, threshold=0.3), Denoiser(counted, SCHEDULE, "v"))
    last = steps[-1]
    assert last.calls[2] < last.calls[0]
    assert last.calls.max() < 40
    assert sum(rows) == last.calls.sum()
    assert rows == [4, *[int(step.active.sum()) for step in steps[:-1]]]
    for before, after in pairwise(steps):
        done = ~before.active
        assert torch.equal(before.clean[done], after.clean[done])
        assert torch.equal(before.calls[done], after.calls[done])
        assert not after.active[done].any()


@every_inner
@pytest.mark.parametrize("threshold", [0.0, 0.03, 0.1, 0.3, 1e9])
@pytest.mark.parametrize("patience, criterion", [(1, "error"), (3, "error"), (2, "change")])
def test_a_replay_of_one_full_walk_is_what_stopping_would_have_done(
    inner: Any, threshold: float, patience: int, criterion: Any, gaussian: Any
) -> None:
    denoiser = gaussian.denoiser(SCHEDULE)
    rule = Adaptive(inner=inner, threshold=threshold, patience=patience, criterion=criterion)
    really = walk(rule, denoiser)[-1]
    full = walk(inner, denoiser)
    told = replay(record(full, SCHEDULE), rule.stopping)
    assert torch.equal(told.clean, really.clean)
    assert torch.equal(told.calls, really.calls)
    assert torch.equal(told.calls + told.saved, torch.full((4,), 40))
    for i in range(4):
        assert torch.equal(told.clean[i], full[int(told.step[i])].clean[i])
    away = (told.clean - full[-1].clean).norm(dim=1) / full[-1].clean.norm(dim=1)
    assert_close(told.gap, away)


@every_inner
def test_a_threshold_of_zero_is_the_full_walk_to_the_bit(inner: Any, gaussian: Any) -> None:
    denoiser = gaussian.denoiser(SCHEDULE)
    assert torch.equal(walk(Adaptive(inner=inner, threshold=0), denoiser)[-1].clean, walk(inner, denoiser)[-1].clean)


def test_a_larger_threshold_saves_more_and_strays_further(gaussian: Any) -> None:
    full = record(walk(INNERS[0], gaussian.denoiser(SCHEDULE)), SCHEDULE)
    replays = [replay(full, Stopping(threshold, patience=1, snr_min=1.0)) for threshold in (0.0, 0.01, 0.05, 0.2, 1.0)]
    for less, more in pairwise(replays):
        assert (more.saved >= less.saved).all()
        assert (more.gap >= less.gap).all()
    assert (replays[0].saved == 0).all()
    assert (replays[0].gap == 0).all()


@pytest.mark.parametrize("snr_min", [0.5, 1, 30])
def test_no_sample_stops_above_the_noise_guard(snr_min: float, gaussian: Any) -> None:
    greedy = Adaptive(inner=Ddim(steps=50), threshold=1e9, patience=1, snr_min=snr_min)
    steps = walk(greedy, gaussian.denoiser(SCHEDULE))
    assert SCHEDULE.snr[steps[-1].t] >= snr_min
    assert all(SCHEDULE.snr[step.t] < snr_min for step in steps[:-1])


def test_patience_counts_steps_in_a_row() -> None:
    rule = Stopping(threshold=0.1, patience=2, snr_min=1.0)
    streak = torch.zeros(1, dtype=torch.int64)
    seen = []
    for error, snr in ((0.05, 2.0), (0.2, 2.0), (0.05, 0.5), (0.05, 2.0), (0.1, 2.0), (0.09, 1.0), (0.0, 2.0)):
        streak = rule.extend(streak, torch.tensor([error], dtype=torch.float64), snr)
        seen.append((int(streak), bool(rule.is_met(streak))))
    assert seen == [(1, False), (0, False), (0, False), (1, False), (0, False), (1, False), (2, True)]


def test_the_change_of_the_clean_estimate_is_measured_from_step_to_step(gaussian: Any) -> None:
    steps = walk(INNERS[0], gaussian.denoiser(SCHEDULE))
    assert (steps[0].change == torch.inf).all()
    for before, now in pairwise(steps):
        assert_close(now.change, (now.clean - before.clean).norm(dim=1) / now.clean.norm(dim=1))


def test_a_settled_estimate_stops_by_change_and_not_by_error() -> None:
    def stubborn(noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
        return torch.ones_like(noisy)  # the same clean sample whatever the noise: settled, and wrong

    calls = [
        walk(Adaptive(inner=INNERS[1], threshold=1e-3, criterion=criterion), Denoiser(stubborn, SCHEDULE, "x0"))[-1]
        for criterion in ("error", "change")
    ]
    first = next(index for index, t in enumerate(INNERS[1].levels(SCHEDULE), start=1) if SCHEDULE.snr[t] >= 1)
    assert calls[1].calls.tolist() == [first + 1] * 4  # the second in a row at SNR 1 or more
    assert (calls[0].calls > first + 1).all()


@pytest.mark.parametrize("t", [20, 200, 400])
def test_the_predicted_error_is_the_true_one_for_an_exact_posterior_mean(t: int, gaussian: Any) -> None:
    draw = torch.Generator().manual_seed(1)
    clean = gaussian.mean + gaussian.sd * torch.randn(1, 400_000, generator=draw, dtype=torch.float64)
    level = torch.tensor([t])
    noisy = diffuse(clean, torch.randn(1, 400_000, generator=draw, dtype=torch.float64), level, SCHEDULE)
    found = gaussian.denoiser(SCHEDULE)(noisy, level, torch.zeros(1, 1, dtype=torch.float64))
    true = (found.clean - clean).square().mean().sqrt() / found.clean.square().mean().sqrt()
    predicted = relative_error(found, float(SCHEDULE.alpha_bar[t]))
    # |eps|^2 / d strays by sqrt(2 / d) = 0.0022 from 1, which weighs most where little noise is left unseen
    assert float(predicted) == pytest.approx(float(true), rel=0.03)


@given(scale=st.floats(0.01, 100))
def test_the_predicted_error_shrinks_as_the_clean_estimate_grows(scale: float) -> None:
    clean, noise = torch.full((1, 4), 2.0).double(), torch.full((1, 4), 0.6).double()
    assert float(relative_error(Estimate(scale * clean, noise), 0.2)) == pytest.approx(
        (0.8 / 0.2 * (1 - 0.36)) ** 0.5 / (2 * scale)
    )


def test_a_noise_estimate_longer_than_noise_is_an_error_too() -> None:
    found = relative_error(Estimate(torch.full((1, 4), 2.0).double(), torch.full((1, 4), 1.5).double()), 0.2)
    assert float(found) == pytest.approx((0.8 / 0.2 * (1.5**2 - 1)) ** 0.5 / 2)  # was 0: finished by being wrong


@pytest.mark.parametrize("t", [20, 200, 400])
@pytest.mark.parametrize("off", [0.1, 0.5, 2.0])
def test_the_predicted_error_is_the_true_one_for_a_clean_estimate_that_is_off_by_chance(t: int, off: float) -> None:
    clean, noise, chance = torch.randn(3, 1, 1_000_000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    level = torch.tensor([t])
    guessed = clean + off * chance
    found = estimate(guessed, diffuse(clean, noise, level, SCHEDULE), level, SCHEDULE, "x0")
    predicted = relative_error(found, float(SCHEDULE.alpha_bar[t]))
    # |eps|^2 / d strays by 0.0014 from 1, against an excess of at least 0.0042 (SNR 0.42 at t = 400, times off^2)
    slack = 0.0014 / (float(SCHEDULE.snr[t]) * off**2)
    assert float(predicted) == pytest.approx(off / float(mean_square(guessed).sqrt()), rel=0.01 + 2 * slack)


@every_inner
@pytest.mark.parametrize("threshold", [1e-12, 0.05])
def test_a_network_that_predicts_too_much_noise_finishes_no_sample(inner: Any, threshold: float) -> None:
    def untrained(noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
        draw = torch.Generator().manual_seed(int(t[0]))
        return noisy + 20 * torch.randn(noisy.shape, generator=draw, dtype=noisy.dtype)  # of the clean sample

    steps = walk(Adaptive(inner=inner, threshold=threshold), Denoiser(untrained, SCHEDULE, "x0"))
    assert len(steps) == 40
    assert (steps[-1].calls == 40).all()


def test_a_walk_that_stopped_early_cannot_be_replayed(gaussian: Any) -> None:
    stopped = walk(Adaptive(inner=Ddim(steps=40), threshold=0.1), gaussian.denoiser(SCHEDULE))
    with pytest.raises(ValueError, match="full walk"):
        record(stopped, SCHEDULE)
    with pytest.raises(ValueError, match="full walk"):
        record([], SCHEDULE)
    with pytest.raises(ValueError, match="full walk"):
        record(walk(INNERS[0], gaussian.denoiser(SCHEDULE))[:-1], SCHEDULE)


def test_an_adaptive_sampler_inside_another_is_refused() -> None:
    with pytest.raises(ValidationError, match="never stops early, but got 'adaptive'"):
        Adaptive(inner=Adaptive())


@pytest.mark.parametrize("rule", [{"threshold": -1.0}, {"patience": 0}, {"snr_min": 0.0}])
def test_a_rule_that_would_stop_on_noise_is_refused(rule: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="greater than"):
        Adaptive(**rule)
    with pytest.raises(ValueError, match="threshold must be >= 0"):
        Stopping(**{"threshold": 0.1, "patience": 1, "snr_min": 1.0} | rule)


def test_a_walk_over_few_levels_still_ends(gaussian: Any) -> None:
    schedule = Cosine(timesteps=3).build()
    steps = walk(Adaptive(inner=Ddim(steps=1)), gaussian.denoiser(schedule))
    assert len(steps) == 1
    assert (steps[0].calls == 1).all()


@pytest.mark.parametrize(("name", "value"), [("precision", "bfloat16"), ("autoguidance", 1.0)])
def test_what_does_not_concern_the_walk_is_stated_once(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} is the adaptive sampler's own"):
        SAMPLERS.parse({"kind": "adaptive", "inner": {"kind": "ddim", name: value}})
