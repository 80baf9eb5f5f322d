import json
from urllib.parse import unquote

import pytest

from sbldm.errors import RunError
from search.tracking import MlflowStore, RunRecord, show_study
from search.tracking.pages import show_studies, view_of
from search.tracking.saved_view import View, unpack


def trial(number: int, **params: str) -> RunRecord:
    metrics = {"eval/fd_fake": 1.0 + number, "eval/kid_fake": 0.5, "diffusion/loss": 0.1}
    settings = {"evaluation.extractor": "fake", "training.steps": "6", **params}
    return RunRecord(str(number), f"trial {number}", "FINISHED", settings, metrics, {})


RUNS = [
    trial(0, cell="linear", seed="0", **{"schedule.kind": "linear"}),
    trial(1, cell="gamma=2", seed="1", **{"schedule.kind": "gamma", "schedule.gamma": "2"}),
]


def test_a_page_shows_what_differs_between_all_trials() -> None:
    view = view_of("gamma", "1", RUNS)
    assert view.axes == ("cell", "seed", "schedule.kind"), "what is the same everywhere, or not everywhere, is no axis"
    assert view.lead == "eval/fd_fake"
    assert view.metrics == ("eval/kid_fake",)
    assert view.sections == ("diffusion", "eval")


def test_a_pages_charts_are_of_the_studys_trials_best_first() -> None:
    view = view_of("gamma", "1", RUNS)
    state = unpack(view.to_tag(now=7))
    assert state["orderByKey"] == "metrics.`eval/fd_fake`"
    assert state["orderByAsc"]
    assert state["searchFilter"] == "tags.`sbldm.study` = 'gamma' and tags.`sbldm.kind` = 'trial'"
    charts = {chart["type"]: chart for chart in state["compareRunCharts"]}
    assert set(charts) == {"PARALLEL", "SCATTER", "BAR", "IMAGE"}
    assert charts["SCATTER"]["xaxis"]["key"] == "cell"
    assert charts["SCATTER"]["yaxis"]["key"] == charts["BAR"]["metricKey"] == "eval/fd_fake"
    assert charts["PARALLEL"]["selectedParams"] == ["cell", "seed", "schedule.kind"]
    images = [chart["imageKeys"] for chart in state["compareRunCharts"] if chart["type"] == "IMAGE"]
    assert images == [["samples"], ["error"]]
    sections = state["compareRunSections"]
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == {sections[0]["uuid"]}
    assert [section["display"] for section in sections] == [True, False, False]


def test_studies_have_pages_of_their_own() -> None:
    assert View("gamma", "1").key != View("gamma2", "1").key
    assert View("gamma", "1").key.isalnum()


def test_a_studys_page_is_kept_where_its_address_says(store: MlflowStore) -> None:
    run_id = store.start("drawn seed=0", kind="trial", tags={"sbldm.study": "drawn"})
    link = unquote(show_study(store, "drawn", "http://127.0.0.1:5050"))
    assert link.startswith(f"http://127.0.0.1:5050/#/experiments/{store.experiment_id}/runs?")
    key = link.split("viewStateShareKey=")[1]
    tags = store._client.get_experiment(store.experiment_id).tags
    value = json.loads(tags[f"mlflow.sharedViewState.{key}"])
    assert value["name"] == "study drawn"
    assert "drawn" in unpack(json.dumps(value))["searchFilter"]
    assert link in [unquote(each) for each in show_studies(store, None, 5050)]
    assert store.holds(run_id)


def test_a_study_that_is_not_there_has_no_page(store: MlflowStore) -> None:
    with pytest.raises(RunError, match="no study 'absent' is tracked here"):
        show_study(store, "absent")
