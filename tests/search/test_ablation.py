import csv
import io
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation import FeatureSet, MetricResult, format_interval, write_features
from sbldm.errors import ConfigError, RunError
from search.ablation import NOT_DISTINGUISHABLE, log_table, recall_study, tabulate
from search.inspect import FORMATS, find_format
from search.interval_plot import draw_intervals
from search.runner import TrialFinished
from search.studies import OPEN_STUDIES as STUDIES_OF_RANGES
from search.studies import STUDIES
from search.study import Study
from search.tracking import Artifact, Document, MlflowStore, Scalar

PATIENTS = 11
T = 2.228  # of t at 10 degrees of freedom: an error of 1 reaches so far


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
        ([50.0, 51.1], ": better"),
        ([150.0, 151.1], ": worse"),
        ([101.0, 99.5], NOT_DISTINGUISHABLE),
        ([100.0, 101.0], "identical to baseline"),
        ([100.0], "identical to baseline"),
        ([50.0], "-50: 1 seed cannot tell"),
    ],
)
def test_a_verdict_follows_the_interval_of_the_difference(
    store: MlflowStore, mixing: Study, mixed: list[float], verdict: str
) -> None:
    name = f"verdict-{verdict}-{len(mixed)}".replace(" ", "-").replace(":", "")
    track(store, mixing, name, {"cutmix.probability=0": [100.0, 101.0], "cutmix.probability=1": mixed}, half=0.1)
    base, other = tabulate(mixing, name, store).rows
    assert base.verdict == ""
    assert other.verdict.endswith(verdict)
    assert other.seeds == len(mixed)
    assert base.costs["cost/network_calls"] == 10.5
    assert base.costs["cost/hours"] == 10.5 / 3600


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
        assert row[columns["calls/image"]] == "2"
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


def test_a_study_is_recalled_from_its_own_run_without_its_file(store: MlflowStore) -> None:
    study = Study(
        name="mine",
        question="Is it gone?",
        axes={"prediction": ("x0", "v"), "network.attention": ([True, False], [False, False])},
        baseline="prediction=x0 network.attention=true,false",
        run_time="unknown",
    )
    parent = store.start("study mine", kind="study", tags={"sbldm.study": "mine-1"})
    store.keep(parent, Document("study.json", study.to_json()))
    assert recall_study("mine-1", store) == study
    search = STUDIES_OF_RANGES["joint"]
    store.keep(store.start("study", kind="study", tags={"sbldm.study": "j"}), Document("study.json", search.to_json()))
    assert recall_study("j", store) == search


def test_a_study_that_kept_nothing_is_recalled_by_its_name_or_refused(store: MlflowStore) -> None:
    assert recall_study("gamma", store) is STUDIES["gamma"]
    with pytest.raises(RunError, match="no study 'unheard'"):
        recall_study("unheard", store)


def test_features_that_runs_keep_make_the_difference_one_over_shared_patients(
    store: MlflowStore, mixing: Study
) -> None:
    """Both settings answer nearly alike to each patient, so that their part of the error all but cancels."""
    points = {"cutmix.probability=0": [100.0, 101.0, 100.4], "cutmix.probability=1": [103.0, 104.2, 103.2]}
    track(store, mixing, "kept", points, half=20.0)
    blind = tabulate(mixing, "kept", store).rows[1]
    assert blind.verdict.endswith(NOT_DISTINGUISHABLE)
    generator = np.random.default_rng(0)
    real = FeatureSet(generator.normal(size=(22, 3)), np.repeat(np.arange(11), 2), "fake")
    samples = generator.normal(size=(12, 3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fake.npz"
        for run in store.runs(study="kept", kind="trial"):
            drawn = FeatureSet(samples + 0.01 * generator.normal(size=(12, 3)), np.arange(12), "fake")
            path.write_bytes(write_features(real, drawn))
            part = tabulate(mixing, "kept", store).rows[1].difference
            assert part is not None
            assert "taken as independent" in part.interval, "one run without features leaves all without"
            store.keep(run.run_id, Artifact(path, "features"))
    seen = tabulate(mixing, "kept", store).rows[1]
    assert seen.verdict.endswith(": worse")
    assert seen.difference is not None
    assert "per shared patient" in seen.difference.interval


def test_the_figure_shows_every_setting_of_every_metric(store: MlflowStore, mixing: Study, tmp_path: Path) -> None:
    track(store, mixing, "drawn", {"cutmix.probability=0": [100.0, 101.0], "cutmix.probability=1": [90.0, 95.0]})
    ablation = tabulate(mixing, "drawn", store)
    png, svg = draw_intervals([ablation, ablation], tmp_path / "figure.png")
    assert (png.name, svg.name) == ("figure.png", "figure.svg")
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text()
    assert text.count("cutmix.probability=1") >= 2
    assert "fd_fake" in text
    again = draw_intervals([ablation, ablation], tmp_path / "again.svg")
    assert again[1].read_bytes() == svg.read_bytes(), "the same table gives the same picture"
