"""Generated volumes on disk, each made once; and how large in millimetres what the model has seen is."""

from collections.abc import Generator, Mapping
from typing import Any

from torch import Tensor

from sbldm.data import SourceSpec
from sbldm.diffusion import SamplerSpec
from sbldm.model import LatentDiffusion
from sbldm.model.coherence import Coherence
from sbldm.model.volume import GeneratedVolume, generate_volume
from sbldm.spec import digest_of
from sbldm.training import choose_device
from search.cache import Cache, Entry
from search.events import Event, Progress
from search.sampling import name_request
from search.stages import cached, read_tensors, write_tensors

FILE = "volume.safetensors"
PATIENTS = 5  # whose sizes are asked for
DIGITS = 2  # of millimetres: finer than that, a size is a patient's own


def volume_stage(
    model: LatentDiffusion,
    model_digest: str,
    count: int,
    *,
    sampler: SamplerSpec,
    seed: int,
    slices: int,
    spacing_mm: tuple[float, float, float],
    coherence: Coherence,
    batch: int,
    cache: Cache,
    device: str = "auto",
    conditions: Mapping[str, float] | None = None,
    guidance: float = 0.0,
) -> Generator[Event, None, tuple[GeneratedVolume, ...]]:
    """Return volumes 0 to count - 1, told such conditions; those made before are read again."""
    asked = name_request(conditions or {}, guidance)
    settings = [sampler.model_dump(mode="json"), seed, slices, spacing_mm, coherence.length_mm, *asked]
    volumes = []
    for index in range(count):

        def build(entry: Entry, index: int = index) -> Generator[Event, None, dict[str, Any]]:
            made = generate_volume(
                model.to(choose_device(device)),  # type: ignore[arg-type]
                sampler=sampler,
                seed=seed,
                slices=slices,
                index=index,
                spacing_mm=spacing_mm,
                coherence=coherence,
                conditions=conditions,
                guidance=guidance,
                batch=batch,
            )
            write_tensors(entry.directory / FILE, _tensors(made))
            yield Progress("volumes", index + 1, count)
            return {"generation_seconds": made.seconds}

        digest = digest_of(["volume", model_digest, *settings, index])
        entry, meta = yield from cached(cache, "volumes", digest, build)
        parts: dict[str, Any] = {**read_tensors(entry.directory / FILE)}
        seconds = float(meta["generation_seconds"])
        volumes.append(GeneratedVolume(**parts, spacing_mm=spacing_mm, index=index, seconds=seconds))
    return tuple(volumes)


def field_of_view(source: SourceSpec) -> tuple[float, float]:
    """Return the usual length of the slice axis and side of a slice in mm: medians over the first few patients.

    Raises:
        DataError: the data are not where the settings say.
    """
    lengths, sides = [], []
    for subject in source.subjects()[:PATIENTS]:
        volume = source.read(subject)
        slices, rows, columns = volume.image.shape
        slice_mm, row_mm, column_mm = volume.spacing_mm
        lengths.append(slice_mm * max(slices - 1, 1))
        sides.append(max(rows * row_mm, columns * column_mm))  # what is not square is padded to be
    return round(_median(lengths), DIGITS), round(_median(sides), DIGITS)


def _tensors(volume: GeneratedVolume) -> dict[str, Tensor]:
    """Return what is kept of a volume."""
    parts = {"images": volume.images, "labels": volume.labels, "positions": volume.positions}
    return parts if volume.conditions is None else parts | {"conditions": volume.conditions}


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
