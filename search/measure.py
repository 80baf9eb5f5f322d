"""Every number of an experiment: generated against real slices, and the yardsticks beside it."""

import hashlib
import io
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from evaluation import (
    FeatureSet,
    ImageSet,
    MetricResult,
    build_extractor,
    evaluate_features,
    frechet_distance,
    lpips,
    ms_ssim,
    noise_floor,
    perceptual_distance,
    psnr,
    ssim,
    stand_alone,
)
from sbldm.data import SliceSet
from sbldm.files import atomic_write
from sbldm.latent import LatentCodec
from sbldm.spec import digest_of
from search.cache import Cache, Entry
from search.config import EvaluationSpec
from search.events import Event, Progress
from search.stages import cached

FEATURES = "features.npz"
BATCH = 64


@dataclass(frozen=True)
class Judge:
    """The extractor, the cache and the settings that all measurements of one experiment share."""

    spec: EvaluationSpec
    cache: Cache

    @property
    def identity(self) -> str:
        """Name the extractor with its weights, and what it does to an image first."""
        extractor = build_extractor(self.spec.extractor, self.spec.weights)
        return digest_of([extractor.identity, extractor.preparation])

    def features(self, images: ImageSet) -> Generator[Event, None, FeatureSet]:
        """Return one feature row per image; each image set passes a network once, whoever takes which columns."""
        extractor = build_extractor(self.spec.extractor, self.spec.weights)

        def build(entry: Entry) -> Generator[Event, None, dict[str, Any]]:
            rows = []
            for part in torch.split(torch.arange(len(images)), BATCH):
                some = ImageSet(images.images[part], images.groups[part])
                rows.append(extractor.run_pass(some))
                yield Progress("features", int(part[-1]) + 1, len(images))
            content = io.BytesIO()
            np.savez(content, rows=np.concatenate(rows))
            atomic_write(entry.directory / FEATURES, content.getvalue())
            return {}

        digest = digest_of([extractor.pass_identity, extractor.preparation, _digest(images.images)])
        entry, _ = yield from cached(self.cache, "features", digest, build)
        with np.load(entry.directory / FEATURES, allow_pickle=False) as arrays:
            rows = np.ascontiguousarray(arrays["rows"][:, extractor.columns])
        return FeatureSet(rows, images.groups.numpy(), extractor.name)

    def companion(self) -> "Judge | None":
        """Return the judge that sees by the second extractor, if there is to be one."""
        if self.spec.companion is None:
            return None
        second = {"extractor": self.spec.companion, "weights": self.spec.companion_weights, "companion": None}
        return replace(self, spec=self.spec.model_copy(update=second))

    def generated(
        self, real: FeatureSet, images: Float[Tensor, "n 1 h w"]
    ) -> Generator[Event, None, tuple[MetricResult, ...]]:
        """Compare generated slices with real ones of unseen patients."""
        features = yield from self.features(stand_alone(images))
        return evaluate_features(real, features, level=self.spec.level)

    def distance(self, real: FeatureSet, images: ImageSet) -> Generator[Event, None, MetricResult]:
        """Return the Frechet distance alone."""
        features = yield from self.features(images)
        return frechet_distance(real, features, level=self.spec.level)

    def floor(self, train: SliceSet, real: FeatureSet) -> Generator[Event, None, MetricResult]:
        """Return the distance between other real patients and the real test patients, at no more slices than these."""
        features = yield from self.features(to_images(whole_patients(train, len(real))))
        return noise_floor(features, real, level=self.spec.level)[0]

    def reconstructions(self, truth: ImageSet, rebuilt: ImageSet) -> tuple[MetricResult, ...]:
        """Compare slices of unseen patients with what the autoencoder makes of them."""
        measures: list[Callable[..., MetricResult]] = [ssim, ms_ssim, psnr]
        if self.spec.extractor == "lite0":
            measures.append(perceptual_distance)
        results = [measure(truth, rebuilt, level=self.spec.level) for measure in measures]
        if self.spec.lpips_weights:
            results.append(lpips(truth, rebuilt, weights=self.spec.lpips_weights, level=self.spec.level))
        return tuple(results)


def to_images(slices: SliceSet) -> ImageSet:
    """Return slices as images in [0, 1], each with its patient."""
    return ImageSet((slices.images + 1) / 2, slices.subjects)


def reconstruct(codec: LatentCodec, slices: SliceSet) -> ImageSet:
    """Return what the autoencoder makes of these slices, in [0, 1]."""
    parts = []
    for rows in torch.split(torch.arange(len(slices)), BATCH):
        some = slices.select(rows)
        device = codec.mean.device
        parts.append(codec.decode(codec.encode(some.images.to(device), some.labels.to(device))).images.cpu())
    return ImageSet(((torch.cat(parts) + 1) / 2).clamp(0, 1), slices.subjects)


def whole_patients(slices: SliceSet, most: int) -> SliceSet:
    """Return the first patients whose slices together are at most so many, but two patients at least."""
    counts = torch.bincount(slices.subjects)
    kept = max(2, int((counts.cumsum(0) <= most).sum()))
    return slices.select(slices.subjects < kept)


def _digest(images: Float[Tensor, "n c h w"]) -> str:
    return hashlib.sha256(images.contiguous().numpy().data).hexdigest()[:16]
