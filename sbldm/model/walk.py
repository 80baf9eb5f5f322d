"""Every early stop from one pass: the full walk is recorded, and each rule takes from it what it would have made."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sbldm.diffusion.samplers import CALLING, Adaptive, SamplerSpec, Stopping, Trajectory, record, replay
from sbldm.model.generate import GeneratedBatch, Request, begin
from sbldm.model.latent_diffusion import LatentDiffusion


@dataclass(frozen=True, eq=False)
class WalkedBatch:
    """One batch walked to its end, from the first level at which a rule lets samples stop; on the CPU.

    Attributes:
        trajectory: of the steps from that level on.
        skipped: steps before it.
        seconds: wall time of every step, those before it too.
        positions: the slice positions the network was told.
        first: number of the batch's first sample.
        conditions: as a generated batch has them.
    """

    trajectory: Trajectory
    skipped: int
    seconds: tuple[float, ...]
    positions: Float[Tensor, " b"]
    first: int
    conditions: Float[Tensor, "b k"] | None = None


def walk(model: LatentDiffusion, count: int, *, rule: Adaptive, seed: int, batch: int) -> Iterator[WalkedBatch]:
    """Yield samples 0 to ``count - 1`` with all that a rule of this inner sampler and this least SNR may ask.

    Args:
        model: where to sample from.
        count: how many samples there shall be in all.
        rule: its threshold, patience and criterion do not matter.
        seed: of noise, positions and the sampler's own draws.
        batch: samples at a time.
    """
    request = Request(full_walk(rule), seed)
    for start in range(0, count, batch):
        yield _walk_batch(model, range(start, min(start + batch, count)), request, rule.snr_min)


def full_walk(sampler: SamplerSpec) -> SamplerSpec:
    """Return the sampler that never stops early, of the same precision and autoguidance."""
    if not isinstance(sampler, Adaptive):
        return sampler
    return sampler.inner.model_copy(update={own: getattr(sampler, own) for own in CALLING})


@torch.no_grad()
def stop_walked(model: LatentDiffusion, walked: WalkedBatch, stopping: Stopping) -> GeneratedBatch:
    """Return what this batch would have become had each sample stopped by the rule.

    Its seconds are those of the recorded steps, each by the share of samples that would still have walked, and of
    decoding: an estimate, for a network is slower per sample in a smaller batch.
    """
    stopped = replay(walked.trajectory, stopping)
    started = time.perf_counter()
    decoded = model.codec.decode(stopped.clean.to(model.device))
    decoding = time.perf_counter() - started
    calls = stopped.calls + walked.skipped
    shares = [float((calls > step).double().mean()) for step in range(len(walked.seconds))]
    return GeneratedBatch(
        images=decoded.images.cpu(),
        labels=decoded.labels.cpu(),
        positions=walked.positions,
        calls=calls,
        first=walked.first,
        seconds=sum(share * each for share, each in zip(shares, walked.seconds, strict=True)) + decoding,
        conditions=walked.conditions,
    )


@torch.no_grad()
def _walk_batch(model: LatentDiffusion, indices: range, request: Request, snr_min: float) -> WalkedBatch:
    begun = begin(model, indices, request)
    steps, seconds, started = [], [], time.perf_counter()
    for step in begun.steps:
        steps.append(step)
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
    whole = record(steps, model.spec.schedule.build())
    clean = whole.snr >= snr_min
    skipped = min(int((~clean).sum()), len(steps) - 1)  # the SNR rises on the way, and the last step is always kept
    kept = Trajectory(
        levels=whole.levels[skipped:],
        snr=whole.snr[skipped:],
        relative_error=whole.relative_error[skipped:].cpu(),
        change=whole.change[skipped:].cpu(),
        clean=whole.clean[skipped:].cpu(),
    )
    return WalkedBatch(kept, skipped, tuple(seconds), begun.positions, indices.start, begun.conditions)
