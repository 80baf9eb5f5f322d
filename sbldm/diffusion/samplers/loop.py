"""The only sampling loop: it walks every sampler's levels and yields what a watcher may know."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from sbldm.diffusion.process import Denoiser, Estimate
from sbldm.diffusion.samplers.base import Earlier, Move, SamplerSpec
from sbldm.diffusion.samplers.stopping import relative_change, relative_error
from sbldm.seeding import generator


@dataclass(frozen=True, eq=False)
class SampleStep:
    """What happened at one step from level t to level s; the last step's ``clean`` is the result."""

    t: int
    s: int
    clean: Float[Tensor, "b ..."]
    """The clean estimate of all samples, final for those that are done."""
    active: Bool[Tensor, " b"]
    """Which samples walk on after this step: none after the last."""
    calls: Int64[Tensor, " b"]
    """Network calls each sample has cost so far."""
    relative_error: Float64[Tensor, " b"]
    """Predicted relative error of each clean estimate, from the sample's latest call."""
    change: Float64[Tensor, " b"]
    """Relative change of each clean estimate by the sample's latest call; infinite at its first."""


@dataclass(frozen=True, eq=False)
class _Walk:
    """The samples still on their way: their rows in the whole batch and all they carry along."""

    rows: Int64[Tensor, " m"]
    noisy: Float[Tensor, "m ..."]
    cues: Float[Tensor, "m k"]
    streak: Int64[Tensor, " m"]
    earlier: Earlier | None
    generators: tuple[torch.Generator, ...]

    def draw(self) -> Tensor:
        shape = self.noisy.shape[1:]
        return torch.stack([torch.randn(shape, generator=each) for each in self.generators]).to(self.noisy)

    def keep(self, going: Bool[Tensor, " m"]) -> "_Walk":
        """Return the walk without the samples that are done."""
        if bool(going.all()):
            return self
        earlier = self.earlier and Earlier(self.earlier.t, _select(self.earlier.estimate, going))
        generators = tuple(each for each, on in zip(self.generators, going.tolist(), strict=True) if on)
        return replace(
            self,
            rows=self.rows[going],
            noisy=self.noisy[going],
            cues=self.cues[going],
            streak=self.streak[going],
            earlier=earlier,
            generators=generators,
        )


def sample(
    sampler: SamplerSpec,
    denoiser: Denoiser,
    noise: Float[Tensor, "b ..."],
    cues: Float[Tensor, "b k"],
    *,
    seeds: Sequence[int],
) -> Iterator[SampleStep]:
    """Walk noise to samples, one record per step.

    Args:
        sampler: says which levels to visit and how to step between them.
        denoiser: the network with its schedule and prediction.
        noise: standard normal starting points at level T.
        cues: what the network is told about each sample.
        seeds: one per sample; fresh noise of sample i depends on its seed alone, never on the batch.
    """
    if not len(noise) == len(cues) == len(seeds) or len(noise) == 0:
        raise ValueError(
            f"each sample needs noise, cues and a seed, but got {len(noise)=}, {len(cues)=} and {len(seeds)=}"
        )
    levels = sampler.levels(denoiser.schedule)
    generators = tuple(generator(seed, "sampler") for seed in seeds)
    rows = torch.arange(len(noise), device=noise.device)
    start = _Walk(rows, noise, cues, torch.zeros_like(rows), None, generators)
    return _walk(sampler, denoiser, start, levels)


def _walk(sampler: SamplerSpec, denoiser: Denoiser, walk: _Walk, levels: tuple[int, ...]) -> Iterator[SampleStep]:
    clean = torch.zeros_like(walk.noisy)
    calls = torch.zeros_like(walk.rows)
    error = change = torch.full(calls.shape, torch.inf, dtype=torch.float64, device=calls.device)
    active = torch.ones_like(calls, dtype=torch.bool)
    for t, s in pairwise(levels):
        estimate = _denoise(denoiser, walk, t)
        found = relative_error(estimate, float(denoiser.schedule.alpha_bar[t]))
        moved = relative_change(estimate.clean, walk.earlier.estimate.clean if walk.earlier else None)
        clean = clean.index_copy(0, walk.rows, estimate.clean)
        error, change = error.index_copy(0, walk.rows, found), change.index_copy(0, walk.rows, moved)
        calls = calls + active
        streak, going = _judge(sampler, walk.streak, found, moved, float(denoiser.schedule.snr[t]), is_last=s == 0)
        active = active.index_copy(0, walk.rows, going)
        yield SampleStep(t=t, s=s, clean=clean, active=active, calls=calls, relative_error=error, change=change)
        if not bool(going.any()):
            return
        walk = replace(walk, streak=streak).keep(going)
        kept = _select(estimate, going)
        noisy = sampler.step(Move(t, s, walk.noisy, kept, walk.earlier, denoiser.schedule, walk.draw))
        walk = replace(walk, noisy=noisy, earlier=Earlier(t, kept))


def _judge(
    sampler: SamplerSpec,
    streak: Int64[Tensor, " m"],
    error: Float64[Tensor, " m"],
    change: Float64[Tensor, " m"],
    snr: float,
    is_last: bool,
) -> tuple[Int64[Tensor, " m"], Bool[Tensor, " m"]]:
    """Return each sample's new streak and whether it walks on."""
    if is_last:
        return streak, torch.zeros_like(streak, dtype=torch.bool)
    rule = sampler.stopping
    if rule is None:
        return streak, torch.ones_like(streak, dtype=torch.bool)
    streak = rule.extend(streak, rule.choose(error, change), snr)
    return streak, ~rule.is_met(streak)


@torch.no_grad()
def _denoise(denoiser: Denoiser, walk: _Walk, t: int) -> Estimate:
    return denoiser(walk.noisy, torch.full_like(walk.rows, t), walk.cues)


def _select(estimate: Estimate, rows: Bool[Tensor, " m"]) -> Estimate:
    if bool(rows.all()):
        return estimate
    return Estimate(clean=estimate.clean[rows], noise=estimate.noise[rows])
