import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation import MetricResult
from sbldm.errors import ConfigError, RunError
from search.ablation import NOT_DISTINGUISHABLE, tabulate
from search.inspect import FORMATS, find_format
from search.merged_table import choose_family, merge_tables
from search.study import Study
from search.tables import print_tables
from search.tracking import Document, MlflowStore, Scalar

BASE, MIXED = "cutmix.probability=0", "cutmix.probability=1"
COSTS = {"schedule/alpha_bar_T": 1.0, "cost/seconds_per_image": 0.5, "cost/network_calls": 50.0}
CPU = {"cost/train_seconds": 3600.0, "cost/cpu_seconds": 3600.0, "cost/peak_memory_bytes": 2.0**30}
Track = Callable[[str, Study, dict[str, list[float]]], None]


def distance(point: float) -> MetricResult:
    n = {"real": 44, "generated": 12, "real_patients": 11, "generated_groups": 12}
    return MetricResult("fd_fake", point, point - 0.1, point + 0.1, 0.95, "by hand", n, "fake", "lower")


@pytest.fixture
def track(store: MlflowStore) -> Track:
    """Put a study with finished trials into the store, as a search would; a point per setting and seed."""

    def put(name: str, study: Study, points: dict[str, list[float]]) -> None:
        parent = store.start(f"study {name}", kind="study", tags={"sbldm.study": name})
        store.keep(parent, Document("study.json", study.to_json()))
        for label, seeds in points.items():
            for seed, point in enumerate(seeds):
                stages = {"sbldm.network": f"{point}", "sbldm.autoencoder": "shared", "sbldm.samples": f"{point}"}
                tags = {"sbldm.study": name, "sbldm.cell": label, "sbldm.seed": str(seed), **stages}
                tracker = store.tracker(store.start(label, kind="trial", tags=tags))
                for key, value in (COSTS | CPU).items():
                    tracker.log(Scalar(key, value))
                tracker.log(Document("results.json", {"eval/fd_fake": distance(point).to_json()}))
                tracker.finish("FINISHED")

    return put


def test_merged_studies_keep_every_cell_and_total_their_costs(store: MlflowStore, mixing: Study, track: Track) -> None:
    """By hand: 4 networks of 1 h, of which the studies share two, and 12 images a draw at 50 calls."""
    track("first", mixing, {BASE: [100.0, 101.0], MIXED: [90.0, 95.0]})
    track("second", mixing, {BASE: [100.0, 101.0], MIXED: [80.0, 85.0]})
    tables = [tabulate(mixing, name, store) for name in ("first", "second")]
    merged = merge_tables(tables)
    assert [row[:2] for row in merged.rows] == [
        ("first", f"{BASE} (baseline)"),
        ("first", MIXED),
        ("second", f"{BASE} (baseline)"),
        ("second", MIXED),
        ("total", "all trials together"),
    ]
    for ablation in tables:
        own = [row[1:] for row in merged.rows if row[0] == ablation.study]
        assert own == list(ablation.table().rows[:2])
    columns = dict(zip(merged.header, merged.rows[-1], strict=True))
    assert (columns["CPU h"], columns["peak GiB"], columns["calls/image"]) == ("6", "1", "—")
    assert "GPU h" not in columns, "no training used one"
    assert "6 networks and 1 autoencoder were trained; 6 sets of samples took 3600 network calls" in merged.caption
    assert merged.caption.count("influence") + merged.caption.count("residual spread") == 1, "said once"
    with pytest.raises(ConfigError, match="lead with one metric, but got"):
        merge_tables([])


def test_p_holds_within_each_study_or_over_the_whole_table(store: MlflowStore, mixing: Study, track: Track) -> None:
    points = {BASE: [100.0, 101.0, 100.4], MIXED: [97.0, 98.4, 96.9]}
    for name in ("one", "two"):
        track(name, mixing, {label: [value + (name == "two") / 7 for value in row] for label, row in points.items()})
    apart = [tabulate(mixing, name, store) for name in ("one", "two")]
    together = choose_family(apart, "table")
    for before, after in zip(apart, together, strict=True):
        old, new = before.rows[1].difference, after.rows[1].difference
        assert old is not None
        assert new is not None
        assert old.p is not None
        assert old.p_holm == old.p, "one comparison alone"
        assert new == replace(old, p_holm=new.p_holm)
        assert new.p_holm == pytest.approx(2 * old.p), "of two that are alike the larger factor holds for both"
    assert choose_family(apart, "study") == tuple(apart)
    assert (
        "Holm over the 1 comparison(s) with cutmix.probability=0 within study one, and" in merge_tables(apart).caption
    )
    assert "Holm over all 2 comparisons of studies one, two, is" in merge_tables(together).caption
    with pytest.raises(ConfigError, match="one of study, table, but got 'tabel' - did you mean 'table'"):
        choose_family(apart, "tabel")


def test_every_format_holds_every_setting_and_the_verdict_in_words(
    store: MlflowStore, mixing: Study, track: Track
) -> None:
    track("here", mixing, {BASE: [100.0, 101.0], MIXED: [101.5, 99.0]})
    track("there", mixing, {BASE: [100.0, 101.0], MIXED: [101.5, 99.0]})
    for form in FORMATS:
        told = print_tables(["here", "there"], store, form=form)
        assert told == find_format(form)(merge_tables([tabulate(mixing, name, store) for name in ("here", "there")]))
        assert told.replace("\\_", "_").count(NOT_DISTINGUISHABLE) == 2
    latex = print_tables(["here", "there"], store, form="latex")
    assert re.findall(r"\\(\w+rule)", latex) == ["toprule", "midrule", "bottomrule"]
    (columns,) = re.findall(r"\\begin\{tabular\}\{(l+r*)\}", latex)
    assert {line.count(" & ") + 1 for line in latex.splitlines() if line.endswith(r"\\")} == {len(columns)}
    rows = list(csv.reader(io.StringIO(print_tables(["here", "there"], store, form="csv"))))
    assert [row[:2] for row in rows[1:3]] == [["here", f"{BASE} (baseline)"], ["here", MIXED]]


def test_machines_get_each_number_and_people_a_figure(
    store: MlflowStore, mixing: Study, track: Track, tmp_path: Path
) -> None:
    track("drawn", mixing, {BASE: [100.0, 101.0], MIXED: [90.0, 95.0]})
    told = json.loads(print_tables(["drawn"], store, figure=tmp_path / "a.png", as_json=True))
    (study,) = told["studies"]
    base, mixed = study["settings"]
    assert (study["baseline"], base["difference"], mixed["metrics"]["fd_fake"]["point"]) == (BASE, None, 92.5)
    assert mixed["difference"]["point"] == pytest.approx(-8.0)
    assert mixed["verdict"].endswith(NOT_DISTINGUISHABLE)
    assert study["spent"]["cost/cpu_hours"] == 4
    assert "Holm over the 1 comparison(s)" in told["comparisons"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg"]
    with pytest.raises(ConfigError, match=r"\.png and \.svg, but got 'a.pdf'"):
        print_tables(["drawn"], store, figure=tmp_path / "a.pdf")


def test_names_that_tell_no_studies_apart_are_refused(store: MlflowStore, mixing: Study, track: Track) -> None:
    track("twin", mixing, {BASE: [100.0, 101.0]})
    with pytest.raises(ConfigError, match="'twin' is given twice"):
        print_tables(["twin", "twin"], store)
    with pytest.raises(ConfigError, match="--name is of one study, but got 2"):
        print_tables(["twin", "gamma"], store, name="x")
    with pytest.raises(RunError, match="no study 'twinn'"):
        print_tables(["twin", "twinn"], store)
