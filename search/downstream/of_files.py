"""The benchmark of any generator, from the labelled slices it left in files, against any source of real ones."""

from collections.abc import Generator
from pathlib import Path

import torch

from evaluation.segmentation.types import LabelledSet
from sbldm.data import PreparedData
from sbldm.errors import DataError
from sbldm.seeding import generator
from search.cache import Cache
from search.config import ExperimentConfig, override
from search.downstream.fractions import Numbers
from search.downstream.job import Segmentation
from search.downstream.labelled_file import keep_slices
from search.downstream.labelled_folder import read_labelled
from search.downstream.leaks import Check, check_copies
from search.downstream.measure import Conclude, Sources, check_labels, measure
from search.downstream.record import OUTSIDE, record_benchmark
from search.downstream.result import BenchmarkResult
from search.downstream.spec import BenchmarkSpec
from search.downstream.trainings import Deal, Stretch, deal_patients
from search.events import Event
from search.image_folder import Reading
from search.locate import source_changes
from search.stages import data_stage
from search.tracking import MlflowStore

UNKNOWN = (
    "Whom the outside generator learned from is not known: if test patients were among them, or at a small fraction"
    " more patients than it holds, every gain below is too large. Only slices equal to a test slice, or to its mirror"
    " image, at 8 bits are found; a copy that is shifted, blurred or drawn again is not."
)


def benchmark_files(
    synthetic: Path,
    real: str,
    spec: BenchmarkSpec,
    *,
    config: ExperimentConfig,
    reading: Reading,
    segmentation: Segmentation,
    conclude: Conclude,
    cache: Cache,
    store: MlflowStore,
) -> Generator[Event, None, tuple[str, BenchmarkResult]]:
    """Return the id of the tracked benchmark, and what it came to.

    Args:
        synthetic: folder or file of labelled slices.
        real: a kind of source, or a folder.
        spec: of the benchmark.
        config: its data, prepare and split say how the real side is read.
        reading: gray values of the synthetic side.
        segmentation: how to train.
        conclude: what scores prove.
        cache: of stage outputs.
        store: where it is tracked.

    Raises:
        DataError: a side is unsuitable, or a synthetic slice is a test slice.
    """
    settings = override(config, source_changes(real))
    data = (yield from data_stage(settings, cache)).data
    check_labels(data)
    made = read_labelled(synthetic, reading, data.train.label_names)
    _check_size(made.slices, data)
    deal = deal_patients(spec, data)
    sources = Sources(
        data=data,
        deal=deal,
        synthetic=(yield from _keep_stretches(made.slices, spec, data, deal, cache)),
        checks=_check_parts(made.slices, data),
        unknown=(UNKNOWN,),
        facts={"synthetic_found": len(made.slices), "synthetic_values": made.values},
    )
    result = yield from measure(
        sources, spec, segmentation=segmentation, conclude=conclude, cache=cache, device=settings.device
    )
    return record_benchmark(result, spec, store, name="benchmark of files", of=OUTSIDE), result


def _keep_stretches(
    slices: LabelledSet, spec: BenchmarkSpec, data: PreparedData, deal: Deal, cache: Cache
) -> Generator[Event, None, dict[tuple[Numbers, int], Stretch]]:
    """Deal shuffled slices to the trainings: other ones for each seed where there are enough, else the same."""
    order = torch.randperm(len(slices), generator=generator(spec.patients_seed, "benchmark", "synthetic"))
    path = yield from keep_slices(slices.select(order), cache)
    subjects, dealt = data.train.subjects.tolist(), {}
    for (_, seed), patients in deal.items():
        count = min(len(slices), spec.synthetic_count(sum(number in set(patients) for number in subjects)))
        first = seed * count if (seed + 1) * count <= len(slices) else 0
        dealt[patients, seed] = Stretch(path, first, first + count)
    return dealt


def _check_parts(made: LabelledSet, data: PreparedData) -> tuple[Check, ...]:
    return (
        check_copies("the synthetic files", made.images, (data.test.images + 1) / 2),
        check_copies("the synthetic files", made.images, (data.validation.images + 1) / 2, part="validation"),
    )


def _check_size(made: LabelledSet, data: PreparedData) -> None:
    sizes = [" x ".join(map(str, side.shape[2:])) for side in (made.images, data.train.images)]
    if sizes[0] != sizes[1]:
        raise DataError(
            f"both sides must share one size, but the synthetic slices are {sizes[0]} and the real ones {sizes[1]};"
            " set prepare.size, or resize the synthetic side"
        )
