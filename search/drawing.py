"""Samples as the command line asks for them: slices in a picture and an npz, or volumes as NIfTI."""

from collections.abc import Mapping
from pathlib import Path

from search.cache import Cache
from search.control import describe_samples
from search.inspect import find_format, save_samples
from search.progress import follow
from search.runs import OpenedRun, sample_run
from search.volumes import volume_run


def draw_slices(
    run: OpenedRun,
    count: int,
    *,
    seed: int,
    cache: Cache,
    out: Path,
    conditions: Mapping[str, float],
    guidance: float,
) -> str:
    """Generate slices, and return what was asked of them and shown, and where they lie."""
    made = follow(sample_run(run, count, seed=seed, cache=cache, conditions=conditions, guidance=guidance))
    return "\n".join(map(str, (*describe_samples(run.config, made, conditions), *save_samples(made, out))))


def draw_volumes(
    run: OpenedRun,
    count: int,
    *,
    seed: int,
    cache: Cache,
    out: Path,
    slices: int | None,
    conditions: Mapping[str, float],
    guidance: float,
) -> str:
    """Generate volumes, and return how their slices hang together and where they lie."""
    asked = volume_run(
        run, count, seed=seed, cache=cache, out=out, slices=slices, conditions=conditions, guidance=guidance
    )
    files = follow(asked)
    lines = (*files.request, *files.images, *files.labels, files.picture)
    return "\n".join([find_format("md")(files.table), *map(str, lines)])
