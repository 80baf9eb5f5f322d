from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from evaluation import MetricResult
from sbldm.errors import ConfigError, DivergedError, RunError
from search.config import override
from search.events import ExperimentResult
from search.open_study import (
    OPEN_STUDIES,
    OpenStudy,
    constraint_values,
    make_sampler,
    objective_values,
    register_open,
    shorten,
)
from search.presets import preset
from search.space import Choice, LogUniform, Uniform, changes_of, label_draw, suggest

BASE = preset("quick")
RANGES = {
    "training.learning_rate": LogUniform(1e-4, 1e-2),
    "training.steps": Uniform(5, 9),
    "cutmix.probability": Uniform(0.0, 0.5),
    "schedule": Choice(({"kind": "linear"}, {"kind": "gamma", "gamma": 0.5})),
}
MADE = OpenStudy(name="made", question="?", ranges=RANGES, run_time="", trials=8)


def result(fd: float, seconds: float, copies: float | None = -0.1) -> ExperimentResult:
    measured = MetricResult("fd_fake", fd, None, None, 0.95, "", {}, "fake", "lower")
    numbers = {"cost/seconds_per_image": seconds} | ({} if copies is None else {"constraint/copies_pixel": copies})
    return ExperimentResult({"eval/fd_fake": measured, "selection/fd_fake": measured}, numbers, {}, Path(), Path())


@pytest.mark.parametrize("study", OPEN_STUDIES.values(), ids=OPEN_STUDIES)
class TestEverySearch:
    def test_asks_one_question_under_its_registered_name(self, study: OpenStudy) -> None:
        assert OPEN_STUDIES[study.name] is study
        assert study.question.endswith("?")
        assert study.run_time

    def test_draws_settings_that_are_valid_at_both_ends_and_change_nothing_else(self, study: OpenStudy) -> None:
        shared = override(BASE, study.base)
        for end in (0, -1):
            drawn = {
                path: each.values[end] if isinstance(each, Choice) else (each.low, each.high)[end]
                for path, each in study.ranges.items()
            }
            before, after = (each.model_dump(mode="json") for each in (shared, override(shared, drawn)))
            changed = {part for part in after if after[part] != before[part]}
            assert changed <= {path.partition(".")[0] for path in study.ranges}

    def test_comes_back_from_json(self, study: OpenStudy) -> None:
        assert OpenStudy.from_json(study.to_json()) == study


def test_draws_lie_in_their_ranges_and_are_told_again_by_what_the_trial_stored() -> None:
    search = optuna.create_study(sampler=make_sampler(MADE, seed=0, drawn=0))
    for _ in range(20):
        trial = search.ask()
        changes = suggest(trial, RANGES)
        assert 1e-4 <= changes["training.learning_rate"] <= 1e-2
        assert 0 <= changes["cutmix.probability"] <= 0.5
        assert changes["training.steps"] in (5, 6, 7, 8, 9)
        assert changes["schedule"] in RANGES["schedule"].values  # type: ignore[attr-defined]
        assert changes_of(trial.params, RANGES) == changes
        assert override(BASE, changes).training.steps == changes["training.steps"]
        search.tell(trial, 0.0)


def test_a_draw_is_labelled_to_three_digits() -> None:
    drawn = {"training.learning_rate": 0.00123456, "training.steps": 12345, "schedule": {"kind": "gamma", "gamma": 0.5}}
    assert label_draw(drawn) == "training.learning_rate=0.00123 training.steps=12345 gamma=0.5"


@pytest.mark.parametrize("name", ["tpe", "nsga2", "gp"])
def test_a_sampler_draws_the_same_again_and_other_things_next(name: str) -> None:
    study = replace(MADE, sampler=name)

    def draw(seed: int, drawn: int) -> dict[str, object]:
        search = optuna.create_study(
            directions=["minimize", "minimize"], sampler=make_sampler(study, seed=seed, drawn=drawn)
        )
        return suggest(search.ask(), RANGES)

    assert draw(0, 0) == draw(0, 0)
    assert draw(0, 0) != draw(0, 1), "two workers must not draw the same"
    assert draw(0, 0) != draw(1, 0)


def test_tpe_finds_the_better_half_and_keeps_a_constraint() -> None:
    """The best lies at 0.5, but only draws below 0.25 keep the constraint: the search moves to its rim."""
    study = OpenStudy(name="rim", question="?", ranges={"x": Uniform(0.0, 1.0)}, run_time="", trials=40)
    search = optuna.create_study(direction="minimize")
    tried = []
    for drawn in range(study.trials):
        search.sampler = make_sampler(study, seed=1, drawn=drawn)
        trial = search.ask()
        x = suggest(trial, study.ranges)["x"]
        trial.set_constraint("copies", x - 0.25)
        search.tell(trial, (x - 0.5) ** 2)
        tried.append(x)
    kept = [x for x in tried if x <= 0.25]
    assert 0.2 < max(kept) <= 0.25
    assert sum(0.1 < x <= 0.3 for x in tried[20:]) > 10, "chance alone would put 4 of 20 there"


def test_objectives_are_means_over_seeds_and_constraints_the_worst_seed() -> None:
    study = OPEN_STUDIES["joint"]
    seeds = [result(10.0, 0.5, -0.2), result(14.0, 0.7, 0.1)]
    assert objective_values(study, seeds) == pytest.approx((12.0, 0.6))
    assert constraint_values(study, seeds) == (0.1,)


def test_a_constraint_that_was_not_measured_is_not_taken_for_kept() -> None:
    with pytest.raises(RunError, match="'constraint/copies_pixel', but the run holds none"):
        constraint_values(OPEN_STUDIES["joint"], [result(1.0, 1.0, None)])


def test_a_search_without_ranges_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a range"):
        replace(MADE, ranges={})


@pytest.mark.parametrize("name", ["eval/fd", "validation/loss", "diffusion/loss", "fd"])
def test_neither_test_patients_nor_losses_may_choose(name: str) -> None:
    with pytest.raises(ConfigError, match=f"for test patients and losses may not choose, but got '{name}'"):
        replace(MADE, objectives={name: "minimize"})


def test_an_objective_that_is_not_finite_is_a_failure_and_no_best_draw() -> None:
    with pytest.raises(DivergedError, match="selection/fd must be finite"):
        objective_values(MADE, [result(float("nan"), 0.5)])


def test_a_search_can_be_shortened_and_a_name_is_given_once() -> None:
    assert shorten(MADE, None) is MADE
    assert shorten(MADE, 3).trials == 3
    with pytest.raises(ValueError, match="'joint' is registered already"):
        register_open(OPEN_STUDIES["joint"])
