"""Labelled slices in the cache, where each process of the benchmark reads them once."""

import hashlib
from collections.abc import Generator
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from evaluation.segmentation.types import LabelledSet
from sbldm.data import SliceSet
from search.cache import Cache, Entry
from search.downstream.labelled_folder import stand_apart
from search.events import Event
from search.sampling import Samples
from search.stages import cached, read_tensors, write_tensors

FILE = "slices.safetensors"


def from_slices(slices: SliceSet) -> LabelledSet:
    """Return prepared slices as images in [0, 1] with their label maps."""
    return LabelledSet((slices.images + 1) / 2, slices.labels, slices.subjects, slices.label_names, slices.spacing_mm)


def from_samples(samples: Samples, names: tuple[str, ...]) -> LabelledSet:
    """Return generated slices, each a patient of its own."""
    return LabelledSet(samples.images, samples.labels, stand_apart(len(samples.images)), names)


def content_digest(slices: LabelledSet) -> str:
    """Return 16 hex digits that name these slices, their labels and their patients."""
    content = hashlib.sha256(repr((tuple(slices.images.shape), slices.names)).encode())
    for name, tensor in _tensors(slices).items():
        content.update(name.encode() + tensor.numpy().tobytes())
    return content.hexdigest()[:16]


def keep_slices(slices: LabelledSet, cache: Cache) -> Generator[Event, None, Path]:
    """Return the file that holds these slices, written once."""

    def build(entry: Entry) -> Generator[Event, None, dict[str, Any]]:
        yield from ()
        write_tensors(entry.directory / FILE, _tensors(slices))
        return {}

    entry, _ = yield from cached(cache, "labelled", content_digest(slices), build)
    return entry.directory / FILE


@lru_cache(maxsize=8)
def load_slices(path: Path, names: tuple[str, ...]) -> LabelledSet:
    """Return slices that ``keep_slices`` wrote; a process reads each file once."""
    tensors = read_tensors(path)
    return LabelledSet(tensors["images"], tensors["labels"], tensors["groups"], names, tensors.get("spacing_mm"))


def _tensors(slices: LabelledSet) -> dict[str, Tensor]:
    tensors = {"images": slices.images, "labels": slices.labels, "groups": slices.groups}
    if slices.spacing_mm is not None:
        tensors["spacing_mm"] = slices.spacing_mm
    return {name: each.contiguous() for name, each in tensors.items()}
