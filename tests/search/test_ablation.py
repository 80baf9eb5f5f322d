import csv
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from evaluation import MetricResult, format_interval
from sbldm.errors import ConfigError, RunError
from search.ablation import NOT_DISTINGUISHABLE, difference, log_table, over_seeds, tabulate
from search.inspect import FORMATS, find_format
from search.runner import TrialFinished
from search.study import Study
from search.tracking import Document, MlflowStore, Scalar

PATIENTS = 11
T = float(stats.t.ppf(0.975, PATIENTS - 1))  # an error of 1 reaches so far at 10 degrees of freedom


def distance(point: float, half: float | None = T, **changes: Any) -> MetricResult:
    result = MetricResult(
        name="fd_fake",
        point=point,
        low=None if half is None else point - half,
        high=None if half is None else point + half,
        level=0.95,
        interval="by hand",
        n={"real": 44, "generated": 12, "real_patients": PATIENTS, "generated_groups": 12},
        extractor="fake",
        direction="lower",
    )
    return replace(result, **changes)


def reach(sampling: float, points: list[float]) -> float:
    """Return t x error by the textbook: errors add in squares, degrees of freedom after Welch and Satterthwaite."""
    mean = sum(points) / len(points)
    spread = math.sqrt(sum((point - mean) ** 2 for point in points) / (len(points) - 1) / len(points))
    freedom = (sampling**2 + spread**2) ** 2 / (sampling**4 / (PATIENTS - 1) + spread**4 / (len(points) - 1))
    return float(stats.t.ppf(0.975, freedom)) * math.sqrt(sampling**2 + spread**2)


def test_one_seed_keeps_its_own_interval() -> None:
    one = distance(12.0, 5.0)
    assert over_seeds([one]) is one


def test_seeds_that_agree_do_not_narrow_the_interval_of_the_patients_they_share() -> None:
    merged = over_seeds([distance(100.0), distance(100.0), distance(100.0)])
    assert merged.point == 100.0
    assert (merged.low, merged.high) == pytest.approx((100 - T, 100 + T))


def test_the_spread_of_seeds_adds_to_the_error_of_the_patients() -> None:
    points = [98.0, 101.0, 104.0]
    merged = over_seeds([distance(point) for point in points])
    assert merged.point == pytest.approx(101.0)
    expected = reach(1.0, points)
    assert expected > T
    assert (merged.low, merged.high) == pytest.approx((101 - expected, 101 + expected))
    assert "3 seeds" in merged.interval


def test_the_errors_of_seeds_are_averaged_in_variance() -> None:
    merged = over_seeds([distance(100.0, 1 * T), distance(100.0, 7 * T)])
    assert merged.high == pytest.approx(100 + 5 * T)  # (1 + 49) / 2 = 25


def test_a_merged_interval_stays_within_what_the_metric_can_be() -> None:
    merged = over_seeds([distance(1.0), distance(1.5)])
    assert merged.low == 0.0
    assert merged.high > 2.0


def test_a_metric_without_interval_is_not_given_one() -> None:
    assert over_seeds([distance(1.0, None), distance(2.0, None)]).low is None


def test_a_difference_by_hand_of_one_seed() -> None:
    found = difference({"0": distance(105.0, 3 * T)}, {"0": distance(100.0, 4 * T)})
    assert found is not None
    freedom = (9 + 16) ** 2 / (9**2 / 10 + 16**2 / 10)
    expected = 5 * float(stats.t.ppf(0.975, freedom))
    assert found == pytest.approx((5.0, 5 - expected, 5 + expected))


def test_a_difference_by_hand_of_two_seeds_pairs_them() -> None:
    mine = {"0": distance(110.0), "1": distance(120.0), "2": distance(0.0)}
    base = {"1": distance(116.0), "0": distance(104.0), "3": distance(999.0)}
    found = difference(mine, base)
    assert found is not None
    freedom = (1 + 1) ** 2 / (1 / 10 + 1 / 10)  # the gaps are 6 and 4: their spread is 1
    both = (2 + 1) ** 2 / (2**2 / freedom + 1 / 1)
    expected = math.sqrt(3) * float(stats.t.ppf(0.975, both))
    assert found == pytest.approx((5.0, 5 - expected, 5 + expected))


def test_a_difference_changes_sign_with_its_sides() -> None:
    mine, base = {"0": distance(110.0, 3.0)}, {"0": distance(104.0, 8.0)}
    forth, back = difference(mine, base), difference(base, mine)
    assert forth is not None
    assert back is not None
    assert forth == pytest.approx((-back[0], -back[2], -back[1]))


def test_there_is_no_difference_without_shared_seeds_or_intervals() -> None:
    assert difference({"0": distance(1.0)}, {"1": distance(1.0)}) is None
    assert difference({"0": distance(1.0, None)}, {"0": distance(1.0)}) is None


def track(store: MlflowStore, study: Study, name: str, points: dict[str, list[float]], half: float = T) -> None:
    """Put finished trials into the store as a study would."""
    for label, seeds in points.items():
        for seed, point in enumerate(seeds):
            tags = {"sbldm.study": name, "sbldm.cell": label, "sbldm.seed": str(seed)}
            tracker = store.tracker(store.start(f"{label} seed={seed}", kind="trial", tags=tags))
            for cost in ("schedule/alpha_bar_T", "cost/train_seconds", "cost/seconds_per_image", "cost/network_calls"):
                tracker.log(Scalar(cost, 10.0 + seed))
            results = {"eval/fd_fake": distance(point, half), "floor/fd_fake": distance(1.0)}
            tracker.log(Document("results.json", {key: each.to_json() for key, each in results.items()}))
            tracker.finish("FINISHED")


@pytest.mark.parametrize(
    "mixed, verdict",
    [
        ([50.0, 50.0], ": better"),
        ([150.0, 150.0], ": worse"),
        ([101.0, 99.5], NOT_DISTINGUISHABLE),
        ([100.0, 100.0], "identical to baseline"),
        ([100.0], "identical to baseline"),
    ],
)
def test_a_verdict_follows_the_interval_of_the_difference(
    store: MlflowStore, mixing: Study, mixed: list[float], verdict: str
) -> None:
    name = f"verdict-{verdict}-{len(mixed)}".replace(" ", "-").replace(":", "")
    track(store, mixing, name, {"cutmix.probability=0": [100.0, 100.0], "cutmix.probability=1": mixed})
    base, other = tabulate(mixing, name, store).rows
    assert base.verdict == ""
    assert other.verdict.endswith(verdict)
    assert other.seeds == len(mixed)
    assert base.costs["cost/train_seconds"] == 10.5


def test_a_second_extractor_that_orders_otherwise_is_named(store: MlflowStore, mixing: Study) -> None:
    for label, (first, second) in {"cutmix.probability=0": (100.0, 9.0), "cutmix.probability=1": (50.0, 90.0)}.items():
        tags = {"sbldm.study": "two-eyes", "sbldm.cell": label, "sbldm.seed": "0"}
        tracker = store.tracker(store.start(label, kind="trial", tags=tags))
        for cost in ("schedule/alpha_bar_T", "cost/train_seconds", "cost/seconds_per_image", "cost/network_calls"):
            tracker.log(Scalar(cost, 1.0))
        other = distance(second, 1.0, name="fd_other", extractor="other")
        results = {"eval/fd_fake": distance(first, 1.0), "eval/fd_other": other}
        tracker.log(Document("results.json", {key: each.to_json() for key, each in results.items()}))
        tracker.finish("FINISHED")
    ablation = tabulate(mixing, "two-eyes", store)
    assert list(ablation.rows[0].results) == ["fd_fake"], "the table shows one extractor"
    assert ablation.agreement
    assert ablation.agreement in ablation.table().caption
    assert "fake" in ablation.agreement
    assert "other" in ablation.agreement


def test_trials_without_a_baseline_have_no_verdict(store: MlflowStore, mixing: Study) -> None:
    track(store, mixing, "no-base", {"cutmix.probability=1": [100.0]})
    (row,) = tabulate(mixing, "no-base", store).rows
    assert (row.label, row.verdict) == ("cutmix.probability=1", "")


def test_a_table_holds_what_is_tracked(finished: Any, store: MlflowStore) -> None:
    table = tabulate(finished.study, finished.name, store).table()
    ends = [event for event in finished.events if isinstance(event, TrialFinished)]
    rows = {row[0].removesuffix(" (baseline)"): row for row in table.rows}
    columns = {name.removesuffix(" ↓").removesuffix(" ↑"): at for at, name in enumerate(table.header)}
    for end in ends:
        row = rows[end.label.removesuffix(" seed=0")]
        for name in ("fd_fake", "precision_fake", "recall_fake"):
            assert row[columns[name]] == format_interval(end.result.results[f"eval/{name}"])
        (run,) = [run for run in store.runs(study=finished.name, kind="trial") if run.run_id == end.run_id]
        assert row[columns["alpha_bar_T"]] == f"{run.metrics['schedule/alpha_bar_T']:.3g}"
        assert row[columns["calls"]] == "2"
        assert row[columns["seeds"]] == "1"
    first = ends[0].result.results
    for label, kind in (("real against real (floor)", "floor"), ("reconstructions", "reconstruction")):
        assert rows[label][columns["fd_fake"]] == format_interval(first[f"{kind}/fd_fake"])
    assert rows["untrained network"][columns["fd_fake"]] == format_interval(first["untrained/fd_fake"])


def test_a_study_without_a_finished_trial_has_no_table(store: MlflowStore, mixing: Study) -> None:
    store.start("running", kind="trial", tags={"sbldm.study": "empty", "sbldm.cell": "cutmix.probability=0"})
    with pytest.raises(RunError, match="'empty' has no finished trial"):
        tabulate(mixing, "empty", store)


def test_every_format_shows_every_setting(finished: Any, store: MlflowStore) -> None:
    table = tabulate(finished.study, finished.name, store).table()
    for form in FORMATS:
        text = find_format(form)(table)
        assert text.count("cutmix.probability=0") == text.count("cutmix.probability=1") == 1
        assert table.rows[0][1] in text
    parsed = list(csv.reader(io.StringIO(find_format("csv")(table))))
    assert parsed == [list(table.header), *map(list, table.rows)]


def test_an_unknown_format_is_refused_with_those_there_are(finished: Any, store: MlflowStore) -> None:
    with pytest.raises(ConfigError, match="md, latex, csv, html, but got 'pdf'"):
        find_format("pdf")


def test_the_table_is_kept_with_the_studys_own_run(finished: Any, store: MlflowStore, tmp_path: Path) -> None:
    ablation = tabulate(finished.study, finished.name, store)
    paths = log_table(ablation, tmp_path, store)
    assert [path.name for path in paths[:4]] == ["table.md", "table.tex", "table.csv", "table.html"]
    assert {path.name for path in paths[4:]} >= {"samples.png", "reconstruction_error.png"}
    for path, form in zip(paths[:4], FORMATS, strict=True):
        kept = store.fetch(finished.parent, f"tables/{path.name}", tmp_path)
        assert kept.read_text() == path.read_text() == find_format(form)(ablation.table())
    (study,) = store.runs(study=finished.name, kind="study")
    assert study.status == "FINISHED"
