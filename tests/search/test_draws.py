import gc
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
import pytest

from sbldm.errors import ConfigError, DataError, RunError
from sbldm.training import StepRecord
from search.ablation import study_table
from search.attempt import attempt
from search.conclude import conclude
from search.config import ExperimentConfig, override
from search.draws import ask_for, tell_draw
from search.front import recall_tried
from search.open_study import OpenStudy
from search.part import Part, parse_duration
from search.queue import TrialQueue
from search.runner import TrialFinished, TrialStarted, run_study
from search.space import Choice, LogUniform, Uniform
from search.study_events import Told, TrialPruned
from search.study_run import goals
from search.tracking import MlflowStore

Follow = Callable[..., tuple[list[Any], Any]]
STUDY = OpenStudy(
    name="both",
    question="What for what?",
    ranges={"cutmix.probability": Uniform(0.0, 1.0), "schedule.gamma": LogUniform(0.5, 2.0)},
    run_time="seconds",
    base={"schedule": {"kind": "gamma"}},
    trials=2,
    objectives={"selection/fd": "minimize", "cost/network_calls": "minimize"},
    constraints=(),
)
WORK = """
import os, random, sys, time
from pathlib import Path
from search.draws import ask_for
from search.open_study import OpenStudy
from search.part import Part, parse_duration
from search.queue import TrialQueue
from search.space import Uniform, suggest
home, number = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(number)
study = OpenStudy("s", "?", {"x": Uniform(0.0, 1.0)}, "", trials=8)
queue = TrialQueue(home, "study")
while lease := queue.next(ask_for(study, 0)):
    x = suggest(lease.trial, study.ranges)["x"]
    with (home / "begun.txt").open("a") as log:
        log.write(f"{lease.attributes['key']} {x}\\n")
    if chance.random() < 0.4 and lease.attributes.get("crashes", 0) < 3:
        os.kill(os.getpid(), 9)
    queue.complete(lease, x)
"""


def only(events: Any, kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def roomy(tiny: ExperimentConfig) -> ExperimentConfig:
    """Enough validation patients to choose by."""
    return override(tiny, {"split": {"train": 0.5, "validation": 0.2, "test": 0.3}})


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture
def home(shelf: Path, tmp_path: Path) -> Path:
    """A folder where data and autoencoder are ready once the first test has made them."""
    (tmp_path / "cache").symlink_to(shelf)
    return tmp_path


def test_a_search_has_its_draws_and_no_more_and_they_are_tracked_and_tabulated(
    roomy: ExperimentConfig, store: MlflowStore, home: Path, follow: Follow
) -> None:
    events, parent = follow(run_study(STUDY, roomy, seeds=[0], home=home, store=store, name="three"))
    ends = only(events, TrialFinished)
    assert len(ends) == 2
    assert len({end.label for end in ends}) == 2
    runs = store.runs(study="three", kind="trial")
    assert {run.name for run in runs} == {end.label for end in ends}
    assert {(run.status, run.tags["mlflow.parentRunId"]) for run in runs} == {("FINISHED", parent)}
    for run in runs:
        assert 0 <= float(run.params["cutmix.probability"]) <= 1
        assert 0.5 <= float(run.params["schedule.gamma"]) <= 2
    trials = TrialQueue(home, "three", goals=goals(STUDY)).study.trials
    values = {run.run_id: [run.metrics["selection/fd_fake"], run.metrics["cost/network_calls"]] for run in runs}
    assert {trial.user_attrs["run"]: trial.values for trial in trials} == values
    again, _ = follow(run_study(STUDY, roomy, seeds=[0], home=home, store=store, name="three"))
    assert again == []
    more, _ = follow(run_study(replace(STUDY, trials=3), roomy, seeds=[0], home=home, store=store, name="three"))
    assert len(only(more, TrialFinished)) == 1


@pytest.mark.slow
def test_what_a_search_has_found_is_drawn_and_kept_with_its_own_run(
    roomy: ExperimentConfig, store: MlflowStore, home: Path, follow: Follow
) -> None:
    three = replace(STUDY, trials=3)
    _, parent = follow(run_study(three, roomy, seeds=[0], home=home, store=store, name="told"))
    found = conclude(STUDY, "told", home, store)
    assert found is not None
    assert found.table == study_table("told", store), "the study's own run says what was asked"
    assert len(found.table.rows) == 3
    assert {"table.md", "history.png", "front.png"} <= {path.name for path in found.paths}
    kept = {*store.names(parent, "tables"), *store.names(parent, "pictures")}
    assert {"tables/table.csv", "pictures/front.png"} <= kept


def test_a_draw_that_is_stopped_goes_on_with_its_own_settings_and_run(
    roomy: ExperimentConfig, store: MlflowStore, home: Path, follow: Follow
) -> None:
    one = replace(STUDY, name="other draws", trials=1)
    events = run_study(one, roomy, seeds=[0], home=home, store=store, name="halted")
    for event in events:
        if isinstance(event, StepRecord) and event.step == 3:
            break
    events.close()
    gc.collect()
    (run,) = store.runs(study="halted", kind="trial")
    assert run.status == "KILLED"
    with pytest.raises(RunError, match="no finished trial"):
        study_table("halted", store)
    assert conclude(one, "halted", home, store) is None
    again, _ = follow(run_study(one, roomy, seeds=[0], home=home, store=store, name="halted"))
    started = only(again, TrialStarted)
    assert (started[0].run_id, started[0].label) == (run.run_id, run.name)
    assert [record.step for record in only(again, StepRecord)][:3] == [4, 5, 6]
    runs = {each.name: each for each in store.runs(study="halted", kind="trial")}
    assert len(runs) == 1
    assert runs[run.name].params == run.params
    assert {each.status for each in runs.values()} == {"FINISHED"}


@pytest.mark.slow
def test_a_draw_is_worth_the_mean_of_its_seeds(
    roomy: ExperimentConfig, store: MlflowStore, home: Path, follow: Follow
) -> None:
    one = replace(STUDY, trials=1)
    events, _ = follow(run_study(one, roomy, seeds=[0, 1], home=home, store=store, name="pair"))
    assert [event.label.rpartition(" ")[2] for event in only(events, TrialStarted)] == ["seed=0", "seed=1"]
    assert len(only(events, TrialFinished)) == 1, "both seeds are one trial"
    runs = store.runs(study="pair", kind="trial")
    mean = fmean(run.metrics["selection/fd_fake"] for run in runs)
    (trial,) = TrialQueue(home, "pair", goals=goals(one)).study.trials
    (tried,) = recall_tried(one, "pair", store)
    assert trial.values[0] == tried.values[0] == mean
    assert len({run.metrics["selection/fd_fake"] for run in runs}) == 2


def test_no_trial_begins_when_the_time_is_over_and_the_same_command_goes_on(
    roomy: ExperimentConfig, store: MlflowStore, home: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(timeout: float | None) -> list[Any]:
        return follow(run_study(STUDY, roomy, seeds=[0], home=home, store=store, name="late", timeout=timeout))[0]

    (told,) = run(0)
    assert told == Told("the time is over, and 2 trial(s) are not done; the same command goes on with them")
    assert store.runs(study="late", kind="trial") == []
    looks = iter([False] * 5)  # the time is over in the midst of the first trial
    monkeypatch.setattr("search.part.Part.is_late", property(lambda _: next(looks, True)))
    seen = run(50)
    assert len(only(seen, TrialStarted)) == 1
    assert only(seen, TrialFinished) == []
    assert isinstance(seen[-1], Told)
    (stopped,) = store.runs(study="late", kind="trial")
    assert stopped.status == "KILLED"
    monkeypatch.undo()
    rest = run(None)
    assert len(only(rest, TrialFinished)) == 2
    assert stopped.run_id in {end.run_id for end in only(rest, TrialFinished)}


def test_a_search_does_not_go_on_with_other_ranges_or_aims(
    roomy: ExperimentConfig, store: MlflowStore, home: Path, follow: Follow
) -> None:
    def refused(study: OpenStudy, seeds: list[int], word: str) -> None:
        with pytest.raises(RunError, match=f"begun with other settings.*{word}"):
            next(run_study(study, roomy, seeds=seeds, home=home, store=store, name="same", timeout=0))

    follow(run_study(STUDY, roomy, seeds=[0], home=home, store=store, name="same", timeout=0))
    refused(replace(STUDY, ranges={"cutmix.probability": Uniform(0.0, 0.9)}), [0], "study.ranges")
    refused(replace(STUDY, objectives={"selection/fd": "minimize"}), [0], "study.objectives")
    refused(STUDY, [0, 1], "seeds")


def test_a_range_that_is_no_setting_is_refused_before_anything_is_made(
    roomy: ExperimentConfig, store: MlflowStore, tmp_path: Path
) -> None:
    odd = replace(STUDY, ranges={"schedule.gama": Uniform(0.5, 1.0)})
    with pytest.raises(ConfigError, match="did you mean"):
        next(run_study(odd, roomy, seeds=[0], home=tmp_path, store=store, name="odd"))
    assert list(tmp_path.iterdir()) == []


def test_too_few_validation_patients_are_refused_before_training(
    tiny: ExperimentConfig, store: MlflowStore, home: Path
) -> None:
    seen = []
    with pytest.raises(DataError, match=r"needs 2 or more, but got 1; raise split\.validation"):
        seen.extend(run_study(STUDY, tiny, seeds=[0], home=home, store=store, name="few"))
    assert only(seen, StepRecord) == []


def test_a_draw_whose_parts_do_not_go_together_fails_for_good_and_counts(
    roomy: ExperimentConfig, store: MlflowStore, home: Path, follow: Follow
) -> None:
    """Each choice is a setting by itself; a search of noise alone at the end cannot predict that noise."""
    ranges = {"prediction": Choice(("v", "eps")), "schedule.terminal": Choice(("free", "zero"))}
    study = replace(STUDY, ranges=ranges, trials=4)
    seeds = [seed for seed in range(20) if clashes(study, seed)][:1]
    queue = TrialQueue(home, "clash", goals=goals(study))
    part = Part(study, roomy, (0,), home, "clash", queue, store, "parent")
    lease = queue.next(ask_for(study, seeds[0]))
    assert lease is not None
    (end,), _ = follow(attempt(tell_draw(lease, part), lease, part))
    assert (end.result, end.run_id) == (None, "")
    assert "prediction" in end.reason
    assert queue.counts()["FAILED"] == 1
    assert queue.left(study.trials) == 3
    assert queue.next() is None, "it is not tried again"


def clashes(study: OpenStudy, seed: int) -> bool:
    search = optuna.create_study(directions=goals(study))
    trial = ask_for(study, seed)(search)
    assert trial is not None
    return trial.user_attrs["cell"] == "prediction=eps schedule.terminal=zero"


@pytest.mark.slow
def test_workers_killed_at_random_have_exactly_the_draws_and_keep_their_settings(tmp_path: Path) -> None:
    deaths = 0
    for round_ in range(20):
        command = [sys.executable, "-c", WORK, str(tmp_path)]
        workers = [subprocess.Popen([*command, str(10 * round_ + number)]) for number in range(2)]
        codes = [worker.wait(timeout=120) for worker in workers]
        deaths += sum(code == -9 for code in codes)
        if codes == [0, 0]:
            break
    assert deaths >= 1
    trials = TrialQueue(tmp_path, "study").study.trials
    done = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert len(done) == 8
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "FAIL"}
    begun = [line.split() for line in (tmp_path / "begun.txt").read_text().splitlines()]
    assert len({key for key, _ in begun}) == len({(key, x) for key, x in begun}) == 8, "a retried draw is the same"


@pytest.mark.parametrize(
    "text, seconds", [("2h30m", 9000), ("45m", 2700), ("90s", 90), ("1d1s", 86401), (" 1h ", 3600)]
)
def test_a_duration_is_read_by_its_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "0h", "2h 30m", "-1h", "30m2h", "1.5h", "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="such as 2h30m, 45m or 90s, but got"):
        parse_duration(text)


@pytest.mark.slow
def test_a_hopeless_draw_is_stopped_after_some_seeds_and_counts_as_tried(
    roomy: ExperimentConfig, store: MlflowStore, home: Path, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "search.draws.find_rival", lambda _, search, seen: "x" if len(seen) == 2 and search.best_trials else None
    )
    study = replace(STUDY, trials=2)
    events, _ = follow(run_study(study, roomy, seeds=[0, 1, 2], home=home, store=store, name="hopeless"))
    assert [type(event) for event in events if isinstance(event, TrialFinished | TrialPruned)] == [
        TrialFinished,
        TrialPruned,
    ]
    runs = store.runs(study="hopeless", kind="trial")
    assert [run.tags["sbldm.outcome"] for run in runs] == ["complete"] * 3 + ["pruned"] * 2
    assert TrialQueue(home, "hopeless", goals=goals(study)).counts() == {
        "COMPLETE": 1,
        "PRUNED": 1,
        "RUNNING": 0,
        "WAITING": 0,
        "FAILED": 0,
    }
    (told,) = only(events, Told)
    assert told.text.startswith("1 draw(s) were stopped early after ")
    assert study_table("hopeless", store).rows[-1][-1] == "stopped early: in 2 of 3 seeds x is better in everything"
    again, _ = follow(run_study(study, roomy, seeds=[0, 1, 2], home=home, store=store, name="hopeless"))
    assert only(again, TrialStarted) == []
