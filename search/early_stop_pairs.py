"""What early stopping costs each sample: the same noise walked to its end and stopped early, compared pair by pair."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from evaluation import ImageSet, MetricResult, psnr, ssim, stand_alone
from evaluation.multiscale import ms_ssim
from sbldm.diffusion import SamplerSpec
from sbldm.diffusion.samplers import Adaptive
from sbldm.model import LatentDiffusion, full_walk
from search.cache import Cache
from search.events import Event
from search.sampling import Samples
from search.stopping import stopped_stage

Measure = Callable[..., MetricResult]
MEASURES: tuple[Measure, ...] = (psnr, ssim, ms_ssim)
THRESHOLDS = (0.02, 0.05, 0.1, 0.2)
ROUNDING = 1e-4  # of intensities in [0, 1]: a fortieth of a step of 8 bits


@dataclass(frozen=True)
class StoppedPairs:
    """Early-stopped samples against full ones from the same noise.

    Attributes:
        threshold: predicted relative error below which a sample stopped.
        results: similarity of the pairs by metric, each sample standing for itself.
        network_calls: mean per sample when stopped early.
        full_network_calls: mean per sample of the full walk.
    """

    threshold: float
    results: dict[str, MetricResult]
    network_calls: float
    full_network_calls: float

    @property
    def saved(self) -> float:
        """Return the share of the network calls that stopping saves, in [0, 1)."""
        return 1 - self.network_calls / self.full_network_calls


def compare_early_stops(
    model: LatentDiffusion,
    model_digest: str,
    *,
    sampler: SamplerSpec,
    count: int,
    seed: int,
    batch: int,
    cache: Cache,
    thresholds: Sequence[float] = THRESHOLDS,
    measures: Sequence[Measure] = MEASURES,
    level: float = 0.95,
    device: str = "auto",
) -> Generator[Event, None, tuple[StoppedPairs, ...]]:
    """Walk once to the end, take every threshold's samples from that walk, and compare each pair.

    Args:
        model: where to sample from.
        model_digest: names it in the cache.
        sampler: of the run; where it stops early itself, its patience and least SNR are kept.
        count: pairs per threshold.
        seed: of noise, positions and the sampler's own draws, the same for all.
        batch: samples at a time.
        cache: finds the samples again.
        thresholds: of early stopping, each above 0.
        measures: of paired images, (full, stopped, level=) -> result.
        level: confidence of the intervals.
        device: where to sample.
    """
    rules = [stop_at(sampler, threshold) for threshold in thresholds]
    walks: list[Samples] = []
    for each in (full_walk(sampler), *rules):
        samples = yield from stopped_stage(
            model,
            model_digest,
            sampler=each,
            rule=rules[0],
            count=count,
            seed=seed,
            batch=batch,
            cache=cache,
            device=device,
        )
        walks.append(samples)
    full, *stopped = walks
    pairs = zip(thresholds, stopped, strict=True)
    return tuple(_compare(threshold, full, samples, measures, level) for threshold, samples in pairs)


def stop_at(sampler: SamplerSpec, threshold: float) -> Adaptive:
    """Return the sampler with early stopping at this threshold."""
    if not threshold > 0:
        raise ValueError(f"thresholds must be above 0, where nothing stops, but got {threshold=}")
    rule = sampler if isinstance(sampler, Adaptive) else Adaptive(inner=sampler)
    return rule.model_copy(update={"threshold": threshold})


def name_results(pairs: Sequence[StoppedPairs]) -> dict[str, MetricResult]:
    """Return all results under tracked names such as ``early_stop/0.05/ssim``."""
    return {f"early_stop/{each.threshold:g}/{name}": result for each in pairs for name, result in each.results.items()}


def name_numbers(pairs: Sequence[StoppedPairs]) -> dict[str, float]:
    """Return what stopping saves under tracked names such as ``early_stop/0.05/saved``."""
    numbers = {}
    for each in pairs:
        numbers[f"early_stop/{each.threshold:g}/network_calls"] = each.network_calls
        numbers[f"early_stop/{each.threshold:g}/saved"] = each.saved
    return numbers


def _compare(
    threshold: float, full: Samples, stopped: Samples, measures: Sequence[Measure], level: float
) -> StoppedPairs:
    ends: list[ImageSet] = [stand_alone(images) for images in (full.images, _settle(full.images, stopped.images))]
    found = [_say_what(measure(*ends, level=level)) for measure in measures]
    return StoppedPairs(
        threshold=threshold,
        results={result.name: result for result in found},
        network_calls=stopped.network_calls,
        full_network_calls=full.network_calls,
    )


def _settle(full: Float[Tensor, "n 1 h w"], stopped: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Take the full image where the stopped one differs by rounding only, as in batches of another size.

    Such a pair is identical; left as it is, its PSNR of 150 decibels would rule the mean.
    """
    same = (full - stopped).abs().amax((1, 2, 3)) < ROUNDING
    return torch.where(same[:, None, None, None], full, stopped)


def _say_what(result: MetricResult) -> MetricResult:
    """Say in the note what was paired, for neither side is real."""
    words = "stopped early against the full walk from the same noise"
    return replace(result, note=f"{words}; {result.note}" if result.note else words)
