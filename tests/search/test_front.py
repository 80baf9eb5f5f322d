from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation import MetricResult
from sbldm.errors import ConfigError, RunError
from search.ablation import study_table
from search.front import DRAW, Tried, find_front, front_table, mark_draw, recall_tried
from search.open_study import OpenStudy
from search.search_plots import draw_search, importances, predictability
from search.space import Choice, LogUniform, Uniform, label_draw
from search.tracking import Document, MlflowStore, Scalar

STUDY = OpenStudy(
    name="trade",
    question="What for what?",
    ranges={
        "loss.weight": Uniform(0.0, 1.0),
        "schedule.gamma": LogUniform(0.5, 2.0),
        "prediction": Choice(("x0", "v")),
    },
    run_time="",
    objectives={"selection/fd": "minimize", "cost/seconds_per_image": "minimize"},
)


def tried(first: float, second: float, constraint: float = -1.0, **params: float | str) -> Tried:
    known = {"loss.weight": 0.5, "schedule.gamma": 1.0, "prediction": "prediction=x0"} | params
    return Tried(f"{first} {second}", known, (first, second), (constraint,), {})  # type: ignore[arg-type]


def test_the_front_by_hand() -> None:
    draws = [tried(3, 1), tried(1, 3), tried(2, 2), tried(2, 3), tried(3, 3), tried(0, 0, 0.1)]
    assert [each.label for each in find_front(draws, STUDY)] == ["1 3", "2 2", "3 1"]


def test_no_feasible_draw_beats_one_of_the_front_and_each_other_is_beaten() -> None:
    generator = np.random.default_rng(0)
    draws = [tried(*map(float, generator.integers(0, 6, 2)), float(generator.normal())) for _ in range(60)]
    front = find_front(draws, STUDY)

    def beaten(each: Tried) -> bool:
        return any(
            other.is_feasible and other.values != each.values and np.all(np.less_equal(other.values, each.values))
            for other in draws
        )

    assert not any(map(beaten, front))
    assert all(beaten(each) for each in draws if each.is_feasible and each not in front)


def test_what_is_to_be_maximized_counts_the_other_way() -> None:
    study = OpenStudy(
        name="up", question="?", ranges=STUDY.ranges, run_time="", objectives={"selection/recall": "maximize"}
    )
    draws = [Tried(str(value), {}, (value,), (), {}) for value in (0.2, 0.9, 0.4)]
    assert [each.label for each in find_front(draws, study)] == ["0.9"]


def test_a_table_puts_the_front_first_and_broken_constraints_last() -> None:
    draws = [tried(0, 0, 0.1), tried(3, 3), tried(1, 2)]
    table = front_table(draws, STUDY, "mine")
    assert [(row[0], row[-1]) for row in table.rows] == [
        ("1 2", "front"),
        ("3 3", "—"),
        ("0 0", "breaks a constraint"),
    ]
    assert "1 on the front, 1 break a constraint" in table.caption


def noisy_draws(count: int) -> list[Tried]:
    """The first objective answers to gamma alone, the second to nothing."""
    generator = np.random.default_rng(1)
    draws = []
    for _ in range(count):
        gamma, weight = float(2 ** generator.uniform(-1, 1)), float(generator.uniform())
        word = f"prediction={generator.choice(['x0', 'v'])}"
        values = 10 * gamma + generator.normal(0, 0.5), 1 + generator.normal(0, 0.1)
        draws.append(
            tried(*values, weight - 0.9, **{"loss.weight": weight, "schedule.gamma": gamma, "prediction": word})
        )
    return draws


def test_what_an_objective_answers_to_is_most_important() -> None:
    shares = importances(noisy_draws(40), STUDY)
    assert next(iter(shares)) == "schedule.gamma"
    assert shares["schedule.gamma"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    assert set(importances([tried(1, 1)] * 5, STUDY).values()) == {0.0}, "nothing varies"
    with pytest.raises(ConfigError, match="4 draws or more, but got 3"):
        importances(noisy_draws(3), STUDY)


def test_an_objective_that_answers_to_nothing_is_not_predicted() -> None:
    draws = noisy_draws(40)
    assert predictability(draws, STUDY) > 0.8
    assert predictability(draws, STUDY, objective=1) < 0.1
    assert predictability([tried(1, 1)] * 5, STUDY) == 0.0


@pytest.mark.slow
def test_pictures_are_drawn_and_too_few_draws_leave_out_the_importances(tmp_path: Path) -> None:
    assert [path.name for path in draw_search(noisy_draws(8), STUDY, tmp_path)] == [
        "history.png",
        "importance.png",
        "front.png",
    ]
    broken = [tried(1, 2, 0.5), tried(2, 1, 0.5)]
    assert [path.name for path in draw_search(broken, STUDY, tmp_path)] == ["history.png", "front.png"]
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")


def track(store: MlflowStore, name: str, draw: int, fds: list[float], outcome: str | None) -> None:
    """Record a draw with a run for each seed, as a search does."""
    changes = {"loss.weight": 0.5, "schedule.gamma": 1.23456, "prediction": "v"}
    params = changes | {"prediction": "prediction=v"}
    tags = {"sbldm.study": name, "sbldm.draw": f"draw-{draw}", "sbldm.cell": label_draw(changes)}
    for seed, fd in enumerate(fds):
        tracker = store.tracker(store.start(f"draw {draw} seed={seed}", kind="trial", tags=tags))
        chosen = MetricResult("fd_fake", fd, fd - 1, fd + 1, 0.95, "by hand", {}, "fake", "lower")
        results = {"eval/fd_fake": replace(chosen, point=fd + 5), "selection/fd_fake": chosen}
        tracker.log(Document("results.json", {key: each.to_json() for key, each in results.items()}))
        tracker.log(Document(DRAW, {"draw": f"draw-{draw}", "changes": changes, "params": params}))
        tracker.log(Scalar("cost/seconds_per_image", 0.5))
        tracker.log(Scalar("constraint/copies_pixel", -0.1 * (seed + 1)))
        tracker.finish("FINISHED")
        if outcome:
            mark_draw(store, [tracker.run_id], outcome, "too far" if outcome == "pruned" else "")  # type: ignore[arg-type]


def test_a_search_is_tabulated_from_the_tracker_alone(store: MlflowStore) -> None:
    parent = store.start("study", kind="study", tags={"sbldm.study": "trade-1"})
    store.keep(parent, Document("study.json", STUDY.to_json()))
    track(store, "trade-1", 3, [1.0], None)  # of a draw that is not whole
    with pytest.raises(RunError, match="'trade-1' has no finished trial"):
        study_table("trade-1", store)
    track(store, "trade-1", 10, [12.0, 14.0], "complete")
    track(store, "trade-1", 2, [9.0], "complete")
    track(store, "trade-1", 1, [40.0], "pruned")
    draws = recall_tried(STUDY, "trade-1", store)
    assert [each.values for each in draws] == [(9.0, 0.5), (13.0, 0.5)], "in the order drawn, means of seeds"
    assert [each.constraints for each in draws] == [(-0.1,), (-0.1,)], "the worst seed"
    label = "loss.weight=0.5 schedule.gamma=1.23 prediction=v"
    assert study_table("trade-1", store).rows == (
        (label, "9.0 [8.0, 10.0]", "0.5", "14", "-0.1", "front"),
        (label, "13", "0.5", "18", "-0.1", "—"),
        (label, "—", "—", "—", "—", "stopped early: too far"),
    )
