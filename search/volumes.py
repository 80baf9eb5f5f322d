"""Volumes of a run: NIfTI files, a picture along all directions, and whether their slices hang together."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from evaluation import MetricResult, Table, format_interval, to_markdown
from evaluation.continuity import Volumes, continuity, independent_continuity
from evaluation.types import ImageSet
from evaluation.volume_views import CUTS, View, draw_volumes
from sbldm.data import SliceSet
from sbldm.data.nifti_write import write_volume
from sbldm.data.sources.nifti import Axis
from sbldm.files import atomic_write
from sbldm.model import check_request
from sbldm.model.coherence import Coherence
from sbldm.model.volume import GeneratedVolume, spread_positions
from search.cache import Cache
from search.config import ExperimentConfig
from search.control import ToldSlices, describe_request
from search.events import Event
from search.measure import to_images
from search.runs import OpenedRun, find_data
from search.volume_stage import field_of_view, volume_stage

PLANES = {
    "axial": ("axial", "coronal", "sagittal"),
    "coronal": ("coronal", "axial", "sagittal"),
    "sagittal": ("sagittal", "axial", "coronal"),
}
Results = Mapping[str, tuple[MetricResult, ...]]


@dataclass(frozen=True)
class VolumeFiles:
    """What was written, and what is known of how the slices hang together.

    Attributes:
        images, labels: NIfTI files, volume by volume.
        picture: PNG of the first volume along all directions.
        page: the table of continuity as Markdown.
        continuity: of generated volumes, of the same slices exchanged among volumes, and of real ones.
        request: what was asked for against what the label maps show, in lines; none where nothing was asked for.
    """

    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    picture: Path
    page: Path
    continuity: Results
    request: tuple[str, ...] = ()

    @property
    def table(self) -> Table:
        """Return the continuity of all kinds of volumes."""
        return tabulate_continuity(self.continuity)


def volume_run(
    run: OpenedRun,
    count: int,
    *,
    seed: int,
    cache: Cache,
    out: Path,
    slices: int | None = None,
    coherence: Coherence | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    conditions: Mapping[str, float] | None = None,
    guidance: float = 0.0,
) -> Generator[Event, None, VolumeFiles]:
    """Write new volumes of a run's model into a folder, by the run's own sampler.

    Args:
        run: whose model.
        count: how many volumes; two or more for intervals and for the exchanged slices.
        seed: another seed makes other volumes.
        cache: of stage outputs.
        out: folder of the files, which can be read as a data source.
        slices: per volume; by default as far apart as those of the test patients.
        coherence: over what distance noise is alike.
        spacing_mm: between slices, rows and columns; by default from the run's data, which must then be at hand.
        conditions: numbers that every volume is told; those not given are of a training patient, drawn per volume.
        guidance: pushes towards the conditions; 0 is the model's own.
    """
    check_request(run.trained.model, conditions or {}, guidance)  # before the data are read
    test = (yield from find_data(run, cache)).data.test
    real = _real_volumes(test)
    low, high = (float(end) for end in run.trained.model.positions.aminmax())
    slices = slices or round((high - low) / real.step) + 1
    volumes = yield from volume_stage(
        run.trained.model,
        run.trained.digest,
        count,
        sampler=run.config.sampler,
        seed=seed,
        slices=slices,
        spacing_mm=spacing_mm or _spacing(run, slices),
        coherence=coherence or Coherence(),
        batch=run.config.evaluation.batch,
        cache=cache,
        device=run.config.device,
        conditions=conditions,
        guidance=guidance,
    )
    axis: Axis = getattr(run.config.data, "axis", "axial")
    files = [_write(out, volume, axis) for volume in volumes]
    measured = compare_continuity(_generated_volumes(volumes, test), real, level=run.config.evaluation.level)
    page = out / "continuity.md"
    atomic_write(page, to_markdown(tabulate_continuity(measured)).encode())
    return VolumeFiles(
        images=tuple(image for image, _ in files),
        labels=tuple(label for _, label in files),
        picture=_draw(run.config, volumes, test, out / "volumes.png", axis),
        page=page,
        continuity=measured,
        request=_describe_request(run.config, volumes, conditions or {}),
    )


def compare_continuity(generated: Volumes, real: Volumes, *, level: float) -> Results:
    """Return the continuity of both at the distance of real neighbors, and with slices exchanged among volumes.

    Generated slices are compared at the multiple of their own distance that comes nearest to that.
    """
    results = {}
    step = generated.step * max(1, round(real.step / generated.step))
    for name, volumes, apart in (("generated", generated, step), ("real", real, real.step)):
        results[name] = continuity(volumes, step=apart, level=level)
        if volumes.images.patients > 1:
            results[f"{name}, slices exchanged"] = independent_continuity(volumes, step=apart, level=level)
    return results


def tabulate_continuity(results: Results) -> Table:
    """Return one row per kind of volume; neither high nor low is good, but as real volumes are."""
    names = tuple(result.name for result in next(iter(results.values())))
    rows = tuple(
        (kind, *map(format_interval, found), str(found[0].n["volumes"]), str(found[0].n["pairs"]))
        for kind, found in results.items()
    )
    first = next(iter(results.values()))[0]
    caption = (
        f"{100 * first.level:g} % intervals resample volumes. The goal is what real volumes show; where slices are"
        " exchanged, each neighbor is of another volume, as if the slices knew nothing of each other."
    )
    return Table("How slices hang together", ("volumes", *names, "volumes measured", "pairs"), rows, caption)


def _describe_request(
    config: ExperimentConfig, volumes: Sequence[GeneratedVolume], asked: Mapping[str, float]
) -> tuple[str, ...]:
    slices = ToldSlices(
        torch.cat([each.labels for each in volumes]),
        torch.cat([each.positions for each in volumes]),
        owners=torch.arange(len(volumes)).repeat_interleave(len(volumes[0].positions)),
    )
    return describe_request(config.data, slices, asked, level=config.evaluation.level) if asked else ()


def _real_volumes(test: SliceSet) -> Volumes:
    return Volumes(to_images(test), test.labels, test.positions, test.classes - 1)


def _generated_volumes(volumes: Sequence[GeneratedVolume], like: SliceSet) -> Volumes:
    owners = torch.arange(len(volumes)).repeat_interleave(len(volumes[0].positions))
    images = (torch.cat([each.images for each in volumes]) + 1) / 2
    return Volumes(
        ImageSet(images.clamp(0, 1), owners),
        torch.cat([each.labels for each in volumes]),
        torch.cat([each.positions for each in volumes]),
        like.classes - 1,
    )


def _spacing(run: OpenedRun, slices: int) -> tuple[float, float, float]:
    """Return the spacing of so many slices over the training range, which is 2 for a whole slice axis."""
    length_mm, side_mm = field_of_view(run.config.data)
    positions = spread_positions(run.trained.model.positions, slices)
    share = float(positions[1] - positions[0]) / 2 if slices > 1 else 1.0
    pixel_mm = side_mm / run.trained.model.spec.size
    return length_mm * share, pixel_mm, pixel_mm


def _write(out: Path, volume: GeneratedVolume, axis: Axis) -> tuple[Path, Path]:
    return write_volume(
        out,
        f"volume-{volume.index:05d}",
        images=volume.images,
        labels=volume.labels,
        spacing_mm=volume.spacing_mm,
        axis=axis,
    )


def _draw(config: ExperimentConfig, volumes: Sequence[GeneratedVolume], test: SliceSet, path: Path, axis: Axis) -> Path:
    """Draw a generated volume, one of exchanged slices, and a test patient where patients may be shown."""
    spacing = volumes[0].spacing_mm
    views = [View("generated", (volumes[0].images[:, 0] + 1) / 2, volumes[0].labels, spacing)]
    if len(volumes) > 1:
        turns = [volumes[place % len(volumes)] for place in range(len(volumes[0].positions))]
        images = torch.stack([(each.images[place, 0] + 1) / 2 for place, each in enumerate(turns)])
        labels = torch.stack([each.labels[place] for place, each in enumerate(turns)])
        views.append(View("generated, slices exchanged among volumes", images, labels, spacing))
    if config.data.kind == "phantom" or config.evaluation.log_real_images:
        real = _real_volumes(test)
        rows, gap = real.rows[0], float(volumes[0].positions.diff().mean()) if len(volumes[0].positions) > 1 else 1.0
        apart = (spacing[0] * real.step / gap, *spacing[1:])
        views.append(View("real test patient", real.images.images[rows, 0], test.labels[rows], apart))
    path.parent.mkdir(parents=True, exist_ok=True)
    return draw_volumes(views, path, title="Middle planes of volumes", names=PLANES.get(str(axis), CUTS))
