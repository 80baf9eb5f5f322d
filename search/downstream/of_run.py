"""The benchmark of a tracked run: its generator, and for each smaller fraction one trained anew on less."""

from collections.abc import Generator
from dataclasses import dataclass, field

from sbldm.data import PreparedData
from sbldm.errors import RunError
from search.cache import Cache
from search.downstream.fractions import Numbers
from search.downstream.generators import FractionGenerator, generator_stage, synthetic_stage
from search.downstream.job import Segmentation
from search.downstream.labelled_file import from_samples, keep_slices
from search.downstream.leaks import Learner
from search.downstream.measure import Conclude, Sources, check_labels, measure
from search.downstream.record import record_benchmark
from search.downstream.result import BenchmarkResult
from search.downstream.spec import BenchmarkSpec
from search.downstream.trainings import Stretch, choose_arms, deal_patients
from search.events import Event
from search.runs import OpenedRun, find_data
from search.tracking import MlflowStore

FIRST_SEED = 1
"""Of the synthetic slices: 0 made those that the experiment was measured by."""


def benchmark_run(
    run: OpenedRun,
    spec: BenchmarkSpec,
    *,
    segmentation: Segmentation,
    conclude: Conclude,
    cache: Cache,
    store: MlflowStore,
) -> Generator[Event, None, tuple[str, BenchmarkResult]]:
    """Return the id of the tracked benchmark, and what it came to; it is tracked once it is whole.

    Raises:
        DataError: no labels, or the leakage audit fails.
        RunError: the data or settings are no longer those of the run.
    """
    data = (yield from find_data(run, cache)).data
    check_labels(data)
    needs_synthetic = any(segmentation.arms[arm] for arm in choose_arms(spec, segmentation))
    made = (yield from _make_synthetic(run, spec, data, cache)) if needs_synthetic else _Made()
    sources = Sources(
        data=data,
        deal=deal_patients(spec, data),
        synthetic=made.files,
        learners=tuple(made.learners),
        facts={"run": run.record.run_id, "generators": made.digests},
    )
    device = run.config.device
    result = yield from measure(sources, spec, segmentation=segmentation, conclude=conclude, cache=cache, device=device)
    name = f"benchmark of {run.record.name}"
    return record_benchmark(result, spec, store, name=name, of=run.record.run_id), result


@dataclass
class _Made:
    files: dict[tuple[Numbers, int], Stretch] = field(default_factory=dict)
    learners: list[Learner] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)


def _make_synthetic(
    run: OpenedRun, spec: BenchmarkSpec, data: PreparedData, cache: Cache
) -> Generator[Event, None, _Made]:
    """Train one generator per set of patients, and draw from it other slices for each seed of the segmenters."""
    made, subjects = _Made(), data.train.subjects.tolist()
    generators: dict[Numbers, FractionGenerator] = {}
    for (fraction, seed), patients in deal_patients(spec, data).items():
        if patients not in generators:
            generator = yield from generator_stage(run.config, data, cache, fraction=fraction, patients=patients)
            _check_own(run, generator, is_whole=set(patients) == set(subjects))
            generators[patients] = generator
            made.learners += generator.learners
            made.digests[f"{fraction:g}/{seed}"] = generator.trained.digest
        count = spec.synthetic_count(sum(number in set(patients) for number in subjects))
        drawn = synthetic_stage(run.config, generators[patients], cache, count=count, seed=FIRST_SEED + seed)
        slices = from_samples((yield from drawn), data.train.label_names)
        made.files[patients, seed] = Stretch((yield from keep_slices(slices, cache)), 0, count)
    return made


def _check_own(run: OpenedRun, generator: FractionGenerator, *, is_whole: bool) -> None:
    if is_whole and generator.trained.digest != run.trained.digest:
        raise RunError(
            f"run {run.record.run_id[:8]} has another network ({run.trained.digest}) than its settings and data make"
            f" now ({generator.trained.digest}); train it again with this version"
        )
