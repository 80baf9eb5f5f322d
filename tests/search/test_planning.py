import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluation.kernel import kernel_influence
from evaluation.power import Budget
from sbldm.errors import RunError
from search.cache import Cache
from search.comparison import compare_runs
from search.config import ExperimentConfig, override
from search.gather import gather
from search.planning import PlannedCounts, power_of_runs
from search.runner import TrialFinished
from search.runs import OpenedRun, open_run, train_run
from search.tracking import MlflowStore

Follow = Callable[..., tuple[list[Any], Any]]


@pytest.fixture(scope="module")
def cache(finished: Any) -> Cache:
    return Cache(finished.home / "cache")


@pytest.fixture(scope="module")
def opened(finished: Any, cache: Cache, store: MlflowStore) -> list[OpenedRun]:
    """Both settings of the study at seed 0."""
    ids = [event.run_id for event in finished.events if isinstance(event, TrialFinished)]
    return [open_run(run_id, cache=cache, store=store) for run_id in ids]


@pytest.fixture(scope="module")
def again(opened: list[OpenedRun], cache: Cache, store: MlflowStore, follow: Follow) -> list[OpenedRun]:
    """Both settings at seed 1."""
    runs = []
    for run in opened:
        config = override(run.config, {"seed": 1})
        _, (run_id, _) = follow(train_run(config, name=f"{run.record.name} again", cache=cache, store=store))
        runs.append(open_run(run_id, cache=cache, store=store))
    return runs


def test_one_run_plans_for_its_own_value(
    opened: list[OpenedRun], cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    _, result = follow(power_of_runs(opened[:1], cache=cache, store=store))
    _, gathered = follow(gather(opened[:1], cache))
    influence = kernel_influence(gathered.real, gathered.generated[0])
    parts = result.variances.patient / 4 + result.variances.sample / 12
    assert np.sqrt(parts) == pytest.approx(influence.error(gathered.real, gathered.generated[0]).value, rel=1e-9)
    assert result.plan.budget == Budget(patients=4, samples=12, seeds=1)
    assert result.point == influence.point
    assert result.subject.endswith("alone, against a fixed value")


def test_two_runs_plan_for_their_difference(
    opened: list[OpenedRun], cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    _, result = follow(power_of_runs(opened, cache=cache, store=store, wanted=0.01, level=0.9))
    _, compared = follow(compare_runs(opened, cache=cache, store=store, level=0.9))
    assert result.metric == compared.differences[0].name == "kid_fake"
    assert result.point == pytest.approx(compared.differences[0].point, rel=1e-9)
    assert result.variances.seed is None
    assert result.sentences()[-1] == "It holds for these trained models; another training may differ more."
    assert [need.what for need in result.plan.needs] == ["patients", "samples"]
    assert result.plan.level == 0.9


def test_more_seeds_tell_how_seeds_differ(
    opened: list[OpenedRun], again: list[OpenedRun], cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    runs = [opened[0], again[1], again[0], opened[1]]
    _, result = follow(power_of_runs(runs, cache=cache, store=store, wanted=0.01))
    gaps = []
    for pair in (opened, again):
        _, compared = follow(compare_runs(pair, cache=cache, store=store))
        gaps.append(compared.differences[0].point)
    expected = np.var(gaps, ddof=1) - result.variances.sample / 12
    assert result.variances.seed == pytest.approx(max(0.0, expected), rel=1e-9)
    assert result.point == pytest.approx(np.mean(gaps), rel=1e-9)
    assert result.plan.budget.seeds == 2
    assert [row[0] for row in result.table().rows] == ["patients", "samples", "seeds"]
    _, alone = follow(power_of_runs([opened[0], again[0]], cache=cache, store=store))
    assert alone.subject.startswith(opened[0].record.name)
    assert alone.variances.seed is not None


def test_a_budget_of_ones_own_is_planned_with(
    opened: list[OpenedRun], cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    _, now = follow(power_of_runs(opened, cache=cache, store=store))
    _, more = follow(power_of_runs(opened, cache=cache, store=store, counts=PlannedCounts(patients=40, samples=1200)))
    assert more.plan.resolvable < 0.4 * now.plan.resolvable
    record = json.loads(json.dumps(more.to_json(), allow_nan=False))
    assert record["plan"]["budget"] == {"patients": 40, "samples": 1200, "seeds": 1}


def test_settings_that_share_no_seed_and_three_settings_are_refused(
    tiny: ExperimentConfig,
    opened: list[OpenedRun],
    again: list[OpenedRun],
    cache: Cache,
    store: MlflowStore,
    follow: Follow,
) -> None:
    with pytest.raises(RunError, match=r"theirs are \[0\] and \[1\]"):
        follow(power_of_runs([opened[0], again[1]], cache=cache, store=store))
    other = override(tiny, {"cutmix.probability": 0.5})
    _, (run_id, _) = follow(train_run(other, name="third", cache=cache, store=store))
    with pytest.raises(RunError, match="these 3 runs have 3"):
        follow(power_of_runs([*opened, run_id], cache=cache, store=store))


def test_a_metric_that_cannot_be_planned_for_is_refused_by_name(
    opened: list[OpenedRun], cache: Cache, store: MlflowStore, follow: Follow
) -> None:
    _, result = follow(power_of_runs(opened, cache=cache, store=store, metric="fd"))
    assert result.metric == "fd_fake"
    with pytest.raises(RunError, match="nothing can be planned for population_fd: 4 patients are fewer than"):
        follow(power_of_runs(opened, cache=cache, store=store, metric="population_fd"))
    with pytest.raises(RunError, match="must be one of kid, fd, but got 'ssim'"):
        follow(power_of_runs(opened, cache=cache, store=store, metric="ssim"))
