"""Two or more finished runs against the first: every difference with its interval, and one sentence for each run."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float64

from evaluation import ImageSet, Table
from evaluation.compare import compare_features, compare_scores
from evaluation.difference import Difference, adjust
from evaluation.distances import Distances, choose_distances
from evaluation.similarity import psnr_scores, ssim_scores
from evaluation.types import Direction
from evaluation.verdict import judge_all, tabulate_differences
from sbldm.errors import RunError
from search.cache import Cache
from search.events import Event
from search.gather import Gathered, gather, open_runs
from search.measure import reconstruct, to_images
from search.runs import OpenedRun
from search.tracking import MlflowStore

Scorer = Callable[[ImageSet, ImageSet], Float64[np.ndarray, " n"]]
Choose = Callable[..., Distances]
SCORES: dict[str, tuple[Direction, Scorer]] = {"ssim": ("higher", ssim_scores), "psnr": ("higher", psnr_scores)}
CAVEAT = (
    "These intervals compare trained models: they hold for these weights, and another training of either may differ"
    " more than they say. p-values after Holm hold together for all rows of this table."
)


@dataclass(frozen=True)
class ComparisonResult:
    """All differences of the later runs to the first.

    Attributes:
        runs: id of each run by its label, the baseline first.
        differences: later run less baseline, p adjusted over all of them.
    """

    runs: dict[str, str]
    differences: tuple[Difference, ...]

    def sentences(self) -> tuple[str, ...]:
        """Return one sentence for each run, contradictions first."""
        return judge_all(self.differences)

    def table(self) -> Table:
        """Return all differences as words to be printed."""
        table = tabulate_differences(f"Compared with {next(iter(self.runs))}", self.differences)
        return replace(table, caption=f"{table.caption} {CAVEAT}")

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that strict JSON can hold."""
        return {
            "runs": self.runs,
            "sentences": list(self.sentences()),
            "differences": [each.to_json() for each in self.differences],
        }


def compare_runs(
    runs: Sequence[str | OpenedRun],
    *,
    cache: Cache,
    store: MlflowStore,
    level: float | None = None,
    changes: Mapping[str, Any] | None = None,
    choose: Choose = choose_distances,
    scores: Mapping[str, tuple[Direction, Scorer]] = SCORES,
) -> Generator[Event, None, ComparisonResult]:
    """Compare runs with the first: their samples by features, their reconstructions of test slices by scores.

    Args:
        runs: beginnings of ids, or opened runs; the first is the baseline.
        cache: of stage outputs.
        store: where the runs are tracked.
        level: confidence; the baseline's own by default.
        changes: settings to change in all runs, such as where the data now lie.
        choose: says of the reference and all generated sets which distances they allow.
        scores: what reconstructions are held against, by name.

    Raises:
        RunError: fewer than two runs, or runs that cannot be compared.
    """
    if len(runs) < 2:
        raise RunError(f"a comparison needs 2 runs or more, but got {len(runs)}")
    opened = open_runs(runs, cache=cache, store=store, changes=changes)
    level = opened[0].config.evaluation.level if level is None else level
    gathered = yield from gather(opened, cache)
    distances = choose(gathered.real, *gathered.generated)
    scored = _score_reconstructions(gathered, scores)
    found: list[Difference] = []
    for index in range(1, len(opened)):
        found += _compare_samples(gathered, index, level, distances)
        found += _compare_reconstructions(gathered, index, level, scores, scored)
    ids = (run.record.run_id for run in opened)
    return ComparisonResult(dict(zip(gathered.labels, ids, strict=True)), adjust(found))


def _compare_samples(gathered: Gathered, index: int, level: float, distances: Distances) -> tuple[Difference, ...]:
    return compare_features(
        gathered.real,
        gathered.generated[index],
        gathered.generated[0],
        paired=gathered.share_noise(index, 0),
        level=level,
        statistics=distances.allowed,
        refused=distances.refused,
        labels=(gathered.labels[index], gathered.labels[0]),
    )


def _score_reconstructions(
    gathered: Gathered, scores: Mapping[str, tuple[Direction, Scorer]]
) -> dict[str, dict[str, Float64[np.ndarray, " n"]]]:
    """Return the scores of each autoencoder's reconstructions; runs often share one."""
    truth = to_images(gathered.prepared.data.test)
    by_codec: dict[str, dict[str, Float64[np.ndarray, " n"]]] = {}
    for run in gathered.runs:
        if run.trained.codec_digest not in by_codec:
            rebuilt = reconstruct(run.trained.model.codec, gathered.prepared.data.test)
            by_codec[run.trained.codec_digest] = {name: score(truth, rebuilt) for name, (_, score) in scores.items()}
    return by_codec


def _compare_reconstructions(
    gathered: Gathered,
    index: int,
    level: float,
    scores: Mapping[str, tuple[Direction, Scorer]],
    scored: Mapping[str, Mapping[str, Float64[np.ndarray, " n"]]],
) -> list[Difference]:
    mine, base = (scored[gathered.runs[each].trained.codec_digest] for each in (index, 0))
    compare = partial(
        compare_scores,
        groups=gathered.real.groups,
        level=level,
        labels=(gathered.labels[index], gathered.labels[0]),
    )
    return [
        compare(mine[name], base[name], name=f"reconstruction/{name}", direction=direction)
        for name, (direction, _) in scores.items()
    ]
