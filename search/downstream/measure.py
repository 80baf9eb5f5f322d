"""The benchmark itself: audit, train, audit again, conclude; where synthetic slices come from is told to it."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any

from evaluation.segmentation.types import Score
from sbldm.data import PreparedData
from sbldm.errors import DataError
from search.cache import Cache
from search.downstream.identity import identify
from search.downstream.job import Segmentation, SegmenterJob
from search.downstream.leaks import Check, LeakAudit, Learner, check_learners, check_parts
from search.downstream.result import BenchmarkResult, Conclusion, write_files
from search.downstream.spec import BenchmarkSpec
from search.downstream.trainings import Deal, Synthetic, keep_files, learners_among, plan_jobs, train_all
from search.events import Event

Conclude = Callable[[tuple[Score, ...], BenchmarkSpec], Conclusion]
RULES = {
    "shared": "All seeds share the patients of a fraction, and one generator trained on them alone: the intervals do"
    " not hold the luck of which patients these are.",
    "per_seed": "Each seed has patients of its own at a fraction, and a generator trained on them alone.",
}


@dataclass(frozen=True, eq=False)
class Sources:
    """Real slices, and synthetic ones for each set of training patients.

    Attributes:
        synthetic: by the patients that their generator saw, and the seed of the segmenter.
        learners: the trainings of the generators.
        checks: of the audit, beyond those of parts and learners.
        unknown: what the audit cannot know, in sentences.
        facts: to be told with the result.
    """

    data: PreparedData
    deal: Deal
    synthetic: Synthetic
    learners: tuple[Learner, ...] = ()
    checks: tuple[Check, ...] = ()
    unknown: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


def measure(
    sources: Sources,
    spec: BenchmarkSpec,
    *,
    segmentation: Segmentation,
    conclude: Conclude,
    cache: Cache,
    device: str,
) -> Generator[Event, None, BenchmarkResult]:
    """Return what the scores of all trainings prove.

    Raises:
        DataError: the audit fails; no table is made.
    """
    audit_sources(sources, ()).require()
    files = yield from keep_files(sources.data, cache)
    jobs = plan_jobs(
        spec, sources.deal, files, sources.synthetic, segmentation=segmentation, cache=cache, device=device
    )
    yield from train_all(jobs, workers=spec.workers, device=device)
    audit = audit_sources(sources, learners_among(jobs, sources.data))
    audit.require()
    scores = tuple(score for job in jobs for score in job.scores())
    result = BenchmarkResult(scores, conclude(scores, spec), audit, sources.facts | _facts(sources, spec, jobs))
    return replace(result, files=(yield from write_files(result, cache)))


def audit_sources(sources: Sources, more: tuple[Learner, ...]) -> LeakAudit:
    """Return what the audit finds of the generators, and of more that was trained."""
    test = identify(sources.data.test).values()
    learners = check_learners((*sources.learners, *more), test)
    return LeakAudit((check_parts(sources.data), *sources.checks, *learners), sources.unknown)


def check_labels(data: PreparedData) -> None:
    """Refuse data that nothing can be segmented in."""
    if not data.train.label_names or not bool(data.train.labels.any()):
        raise DataError("a segmentation benchmark needs label maps, but the data have none; see sbldm data")


def _facts(sources: Sources, spec: BenchmarkSpec, jobs: tuple[SegmenterJob, ...]) -> dict[str, Any]:
    train = sources.data.train.subjects.tolist()
    counts = [
        {
            "fraction": fraction,
            "patients": len(patients),
            "real_slices": sum(number in set(patients) for number in train),
            "synthetic_slices": len(sources.synthetic.get((patients, seed), ())),
        }
        for (fraction, seed), patients in sources.deal.items()
        if seed == 0
    ]
    return {
        "patients_rule": RULES[spec.patients],
        "fractions": counts,
        "test_patients": len(set(sources.data.test.subjects.tolist())),
        "trainings": len(jobs),
        "training_seconds": sum(job.seconds() for job in jobs),
        "settings": spec.model_dump(mode="json", exclude={"workers"}),
        "segmentation": dict(jobs[0].segmentation.identity()),
        "data": sources.data.digest,
        "split": sources.data.split_digest,
    }
