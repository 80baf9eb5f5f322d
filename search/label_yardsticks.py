"""Label maps beside images: do reconstructed ones agree, and do samples show as much of each class as patients?"""

from collections.abc import Generator

import torch
from jaxtyping import UInt8
from torch import Tensor

from evaluation import MetricResult
from evaluation.label_agreement import label_dice, label_shares, share_gaps
from sbldm.data import PreparedData, SliceSet
from sbldm.files import read_json, write_json
from sbldm.latent import LatentCodec
from sbldm.spec import digest_of
from search.cache import Cache, Entry
from search.config import ExperimentConfig
from search.events import Event
from search.measure import BATCH, to_images
from search.sampling import Samples
from search.stages import Trained, cached

FILE = "labels.json"


def measure_labels(
    config: ExperimentConfig, data: PreparedData, trained: Trained, samples: Samples, cache: Cache
) -> Generator[Event, None, dict[str, MetricResult]]:
    """Return the label metrics of the test patients; nothing where there are no labels or fewer than 2 patients.

    ``reconstruction/dice_<class>`` is what the autoencoder alone keeps of a class, ``eval/share_<class>`` how
    much of it the samples show, ``floor/share_<class>`` real slices, ``eval/share_gap_<class>`` the difference.
    """
    if not data.test.label_names or to_images(data.test).patients < 2:
        return {}
    kept = yield from _rebuild_labels(config, data, trained, cache)
    shown = yield from _compare_shares(config, data, samples, cache)
    return kept | shown


def reconstruct_labels(codec: LatentCodec, slices: SliceSet) -> UInt8[Tensor, "n h w"]:
    """Return the label maps that the autoencoder makes of these slices."""
    device, parts = codec.mean.device, []
    for rows in torch.split(torch.arange(len(slices)), BATCH):
        some = slices.select(rows)
        parts.append(codec.decode(codec.encode(some.images.to(device), some.labels.to(device))).labels.cpu())
    return torch.cat(parts)


def _rebuild_labels(
    config: ExperimentConfig, data: PreparedData, trained: Trained, cache: Cache
) -> Generator[Event, None, dict[str, MetricResult]]:
    """Return the Dice of reconstructed label maps; all trials with one autoencoder share it."""
    level = config.evaluation.level

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        yield from ()
        rebuilt, test = reconstruct_labels(trained.model.codec, data.test), data.test
        found = label_dice(test.labels, rebuilt, test.subjects, names=test.label_names, level=level)
        _write(entry, {f"reconstruction/{each.name}": each for each in found})
        return {}

    digest = digest_of(["dice", trained.codec_digest, data.digest, level])
    entry, _ = yield from cached(cache, "labels", digest, build)
    return _read(entry)


def _compare_shares(
    config: ExperimentConfig, data: PreparedData, samples: Samples, cache: Cache
) -> Generator[Event, None, dict[str, MetricResult]]:
    """Return what share of a slice each class takes, in samples and in test patients."""
    level, names = config.evaluation.level, data.test.label_names

    def build(entry: Entry) -> Generator[Event, None, dict[str, float]]:
        yield from ()
        alone, test = torch.arange(len(samples.labels)), data.test
        shown = label_shares(samples.labels, alone, names=names, level=level)
        real = label_shares(test.labels, test.subjects, names=names, level=level)
        gaps = share_gaps(test.labels, test.subjects, samples.labels, alone, names=names, level=level)
        found = {f"eval/{each.name}": each for each in (*shown, *gaps)}
        _write(entry, found | {f"floor/{each.name}": each for each in real})
        return {}

    digest = digest_of(["shares", samples.path.parent.name, data.digest, level])
    entry, _ = yield from cached(cache, "labels", digest, build)
    return _read(entry)


def _write(entry: Entry, results: dict[str, MetricResult]) -> None:
    write_json(entry.directory / FILE, {name: result.to_json() for name, result in results.items()})


def _read(entry: Entry) -> dict[str, MetricResult]:
    return {name: MetricResult.from_json(value) for name, value in read_json(entry.directory / FILE).items()}
