from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from sbldm.diffusion.process import Denoiser
from sbldm.diffusion.samplers import (
    SAMPLERS,
    AnySampler,
    SamplerSpec,
    SampleStep,
    Spacing,
    sample,
    spaced_levels,
)
from sbldm.diffusion.schedules import SCHEDULES, Cosine, Linear
from sbldm.spec import Spec

FINE = Linear(timesteps=4000, beta_start=1e-5, beta_end=0.005).build()
SHORT = Cosine(timesteps=40).build()
RIVALS = [
    *[SAMPLERS[kind]() for kind in SAMPLERS.kinds()],
    SAMPLERS.parse({"kind": "ddim", "eta": 0.5}),
    SAMPLERS.parse({"kind": "adaptive", "inner": {"kind": "ddpm"}}),
]
every_sampler = pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.model_dump_json())


class Holder(Spec):
    sampler: AnySampler


def with_steps(rival: SamplerSpec, steps: int) -> SamplerSpec:
    """Return this rival with so many steps and, where it could, no early stop."""
    if rival.kind == "adaptive":
        return rival.model_copy(update={"inner": with_steps(rival.inner, steps), "threshold": 0.0})
    return rival.model_copy(update={"steps": steps})


def walk(
    rival: SamplerSpec, denoiser: Denoiser, noise: Tensor, seeds: Sequence[int], cues: Tensor | None = None
) -> list[SampleStep]:
    cues = torch.zeros(len(noise), 1, dtype=noise.dtype) if cues is None else cues
    return list(sample(rival, denoiser, noise, cues, seeds=seeds))


def start(batch: int, *shape: int) -> Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def is_stochastic(rival: SamplerSpec, gaussian: Any) -> bool:
    noise = start(1, 3)
    ends = [walk(with_steps(rival, 5), gaussian.denoiser(SHORT), noise, [seed])[-1].clean for seed in (1, 2)]
    return not torch.equal(*ends)


@every_sampler
def test_settings_survive_json_inside_another_spec(rival: SamplerSpec) -> None:
    assert Holder.model_validate_json(Holder(sampler=rival).model_dump_json()).sampler == rival


@every_sampler
@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_levels_fall_from_the_last_to_zero_in_as_many_steps_as_asked(rival: SamplerSpec, steps: int) -> None:
    levels = with_steps(rival, steps).levels(SHORT)
    assert levels[0] == 40
    assert levels[-1] == 0
    assert len(levels) == steps + 1
    assert all(s < t for t, s in pairwise(levels))


@every_sampler
def test_the_walk_converges_to_the_exact_flow_at_the_declared_order(rival: SamplerSpec, gaussian: Any) -> None:
    if is_stochastic(rival, gaussian):
        pytest.skip("no flow to follow: its distribution is tested instead")
    noise = start(4, 50)
    coarse, fine = (
        (walk(with_steps(rival, steps), gaussian.denoiser(FINE), noise, range(4))[-1].clean - exact).square().mean()
        for exact in [gaussian.answer(noise, FINE)]
        for steps in (40, 80)
    )
    order = rival.inner.order if rival.kind == "adaptive" else rival.order
    assert float(fine.sqrt()) < 0.02
    assert float((coarse / fine).sqrt()) == pytest.approx(2**order, rel=0.06)


@pytest.mark.parametrize("kind", ["ddim", "ddpm", "dpm-solver"])
def test_spacing_is_a_setting_and_trailing_or_log_snr_by_default(kind: str) -> None:
    default = "log-snr" if kind == "dpm-solver" else "trailing"
    assert with_steps(SAMPLERS.parse({"kind": kind}), 4).levels(FINE) == spaced_levels(FINE, 4, default)
    for spacing in get_args(Spacing):
        rival = SAMPLERS.parse({"kind": kind, "steps": 4, "spacing": spacing})
        assert rival.levels(FINE) == spaced_levels(FINE, 4, spacing)
    with pytest.raises(ValidationError, match="'trailing', 'uniform' or 'log-snr'"):
        SAMPLERS.parse({"kind": kind, "spacing": "leading"})


@every_sampler
def test_random_samples_have_the_mean_and_spread_of_the_data(rival: SamplerSpec, gaussian: Any) -> None:
    if not is_stochastic(rival, gaussian):
        pytest.skip("its every value is tested instead")
    noise = start(8, 2000)
    end = walk(with_steps(rival, 250), gaussian.denoiser(FINE), noise, range(8))[-1].clean
    # 16000 draws: standard errors 0.004 and 0.003; 250 steps leave the spread 0.016 short
    assert float(end.mean()) == pytest.approx(gaussian.mean, abs=0.015)
    assert float(end.std()) == pytest.approx(gaussian.sd, abs=0.025)


@every_sampler
def test_same_seed_same_sample_and_alone_as_in_a_batch(rival: SamplerSpec, gaussian: Any) -> None:
    noise, cues, seeds = start(3, 2, 4, 4).float(), torch.tensor([[0.0], [2.0], [9.0]]), (5, 6, 7)
    short = (
        with_steps(rival, 20)
        if rival.kind != "adaptive"
        else rival.model_copy(update={"inner": with_steps(rival.inner, 20), "threshold": 0.2})
    )
    denoiser = gaussian.denoiser(SHORT)
    together = walk(short, denoiser, noise, seeds, cues)[-1]
    again = walk(short, denoiser, noise, seeds, cues)[-1]
    assert torch.equal(again.clean, together.clean)
    for i in range(3):
        alone = walk(short, denoiser, noise[i : i + 1], seeds[i : i + 1], cues[i : i + 1])[-1]
        assert torch.equal(alone.clean[0], together.clean[i])
        assert alone.calls[0] == together.calls[i]


@every_sampler
def test_deterministic_samplers_draw_no_noise(
    rival: SamplerSpec, gaussian: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise, drawn = start(2, 3), []
    if is_stochastic(rival, gaussian):
        pytest.skip("draws noise by design")
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: drawn.append(shape))
    walk(with_steps(rival, 5), gaussian.denoiser(SHORT), noise, [0, 1])
    assert not drawn


@every_sampler
def test_a_sampler_leaves_global_randomness_alone(rival: SamplerSpec, gaussian: Any) -> None:
    before = torch.random.get_rng_state()
    walk(with_steps(rival, 5), gaussian.denoiser(SHORT), start(2, 3), [0, 1])
    assert torch.equal(torch.random.get_rng_state(), before)


@every_sampler
@pytest.mark.parametrize("kind", SCHEDULES.kinds())
@pytest.mark.parametrize("prediction", ["v", "x0"])
def test_a_walk_from_a_zero_terminal_has_no_nan(rival: SamplerSpec, kind: str, prediction: str, gaussian: Any) -> None:
    schedule = SCHEDULES.parse({"kind": kind, "terminal": "zero"}).build()
    steps = walk(with_steps(rival, 6), gaussian.denoiser(schedule, prediction), start(2, 500).float(), [0, 1])
    assert all(torch.isfinite(step.clean).all() for step in steps)
    assert (steps[0].relative_error == torch.inf).all()
    assert float(steps[-1].clean.mean()) == pytest.approx(gaussian.mean, abs=0.15)


@every_sampler
def test_every_record_tells_what_happened(rival: SamplerSpec, gaussian: Any) -> None:
    rows, denoiser = [], gaussian.denoiser(SHORT)

    def counted(noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
        rows.append(len(noisy))
        assert len(set(t.tolist())) == 1
        assert not torch.is_grad_enabled()
        return denoiser.predictor(noisy, t, cues)

    steps = walk(with_steps(rival, 12), Denoiser(counted, SHORT, "v"), start(3, 5), [0, 1, 2])
    assert [step.t for step in steps[1:]] == [step.s for step in steps[:-1]]
    assert steps[0].t == 40
    assert steps[-1].s == 0
    assert [step.active.tolist() for step in steps] == [[True] * 3] * 11 + [[False] * 3]
    assert [step.calls.tolist() for step in steps] == [[n] * 3 for n in range(1, 13)]
    assert rows == [3] * 12
    assert torch.is_grad_enabled()


def test_a_batch_without_a_seed_for_each_sample_is_refused_at_once(gaussian: Any) -> None:
    with pytest.raises(ValueError, match=r"len\(seeds\)=1"):
        sample(SAMPLERS["ddim"](), gaussian.denoiser(FINE), torch.zeros(2, 3), torch.zeros(2, 1), seeds=[0])


def test_more_steps_than_levels_are_refused(gaussian: Any) -> None:
    with pytest.raises(ValueError, match=r"between 1 and 40 steps.*steps=50"):
        sample(SAMPLERS["ddim"](), gaussian.denoiser(SHORT), torch.zeros(1, 3), torch.zeros(1, 1), seeds=[0])
