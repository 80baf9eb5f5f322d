import json

import pytest

import search.stages
from sbldm.errors import ConfigError
from search.config import override
from search.dry_run import dry_run
from search.presets import preset
from search.runner import plan
from search.studies import STUDIES
from search.studies.gamma import GAMMA
from search.study import Cell, Study, register

BASE = preset("quick")


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
class TestEveryStudy:
    def test_asks_one_question_under_its_registered_name(self, study: Study) -> None:
        assert STUDIES[study.name] is study
        assert study.question.endswith("?")
        assert study.run_time

    def test_has_a_baseline_among_distinct_cells(self, study: Study) -> None:
        labels = [cell.label for cell in study.cells()]
        assert labels.count(study.baseline) == 1
        assert len(set(labels)) == len(labels) >= 2
        assert len({cell.key for cell in study.cells()}) == len(labels)

    def test_changes_settings_that_exist_and_nothing_else(self, study: Study) -> None:
        shared = override(BASE, study.base).model_dump(mode="json")
        for trial in plan(study, BASE, [3]):
            settings = trial.config.model_dump(mode="json")
            changed = {part for part in settings if settings[part] != shared[part]}
            assert changed <= {"seed", *(path.partition(".")[0] for path in study.axes)}
            assert settings["seed"] == 3

    def test_plans_every_cell_with_every_seed_once(self, study: Study) -> None:
        trials = plan(study, BASE, range(3))
        assert len(trials) == 3 * len(study.cells())
        assert len({trial.label for trial in trials}) == len(trials)

    def test_plans_settings_that_all_differ_in_the_cells_axes(self, study: Study) -> None:
        digests = [trial.config.digest() for trial in plan(study, BASE, range(2))]
        assert len(set(digests)) == len(digests)

    def test_plans_without_data(self, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a plan must not touch data")

        monkeypatch.setattr(search.stages, "prepare_steps", refuse)
        monkeypatch.setattr(type(BASE.data), "subjects", refuse)
        monkeypatch.setattr(type(BASE.data), "read", refuse)
        assert plan(study, BASE, [0])

    def test_refuses_a_base_without_its_settings_before_any_training(self, study: Study) -> None:
        with pytest.raises(ValueError, match="seed"):
            plan(study, BASE, [-1])


def test_gamma_of_one_makes_the_noise_levels_of_the_linear_schedule_to_the_bit() -> None:
    levels = {trial.cell.label: trial.config.schedule.build().alpha_bar for trial in plan(GAMMA, BASE, [0])}
    assert levels["gamma=1"].equal(levels["linear"])
    assert not levels["gamma=2"].equal(levels["linear"])
    assert not levels["cosine"].equal(levels["linear"])


def make(axes: dict[str, tuple[object, ...]], baseline: str) -> Study:
    return Study(name="made", question="?", axes=axes, baseline=baseline, run_time="")


def test_cells_are_all_combinations_the_last_axis_changing_fastest() -> None:
    study = make({"seed": (1, 2), "prediction": ("x0", "v")}, "seed=1 prediction=v")
    assert [cell.changes for cell in study.cells()] == [
        {"seed": 1, "prediction": "x0"},
        {"seed": 1, "prediction": "v"},
        {"seed": 2, "prediction": "x0"},
        {"seed": 2, "prediction": "v"},
    ]


def test_a_section_is_labelled_by_its_parts_or_its_kind() -> None:
    study = make({"schedule": ({"kind": "linear"}, {"kind": "gamma", "gamma": 0.5})}, "linear")
    assert [cell.label for cell in study.cells()] == ["linear", "gamma=0.5"]


def test_a_cell_is_known_by_what_it_changes_and_not_by_its_label() -> None:
    assert Cell("one", {"a": 1, "b": 2}).key == Cell("other", {"b": 2, "a": 1}).key
    assert Cell("one", {"a": 1}).key != Cell("one", {"a": 2}).key


def test_a_grid_with_two_cells_of_one_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"distinct labels.*seed=1"):
        make({"seed": (1, 1)}, "seed=1")


def test_a_baseline_outside_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"baseline must be one of.*'seed=3'"):
        make({"seed": (1, 2)}, "seed=3")


def test_a_name_is_given_once() -> None:
    before = dict(STUDIES)
    with pytest.raises(ValueError, match="'gamma' is registered already"):
        register(GAMMA)
    assert before == STUDIES


def test_lists_and_truths_are_labelled_as_they_are_typed() -> None:
    study = make({"network.attention": ([True, False], [False, False])}, "network.attention=true,false")
    assert [cell.label for cell in study.cells()] == ["network.attention=true,false", "network.attention=false,false"]


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_study_comes_back_from_json_with_its_cells(study: Study) -> None:
    again = Study.from_json(json.loads(json.dumps(study.to_json())))
    assert again == study
    assert [cell.key for cell in again.cells()] == [cell.key for cell in study.cells()]


def test_a_value_that_json_would_change_is_refused() -> None:
    study = make({"network.channel_mult": ((1, 2), (1, 4))}, "network.channel_mult=1,2")
    with pytest.raises(ConfigError, match="plain numbers, words and lists"):
        study.to_json()


@pytest.mark.parametrize("name", ["sampler", "early-stop"])
def test_settings_of_the_sampler_alone_share_one_training(name: str) -> None:
    (rest,) = {
        json.dumps(trial.config.model_dump(mode="json", exclude={"sampler"}), sort_keys=True)
        for trial in plan(STUDIES[name], BASE, [0])
    }
    assert "training" in rest


def test_ddim_in_the_sampler_study_draws_no_noise_whatever_the_preset_says() -> None:
    assert BASE.sampler.model_dump()["eta"] == 1.0
    walks = [trial.config.sampler for trial in plan(STUDIES["sampler"], BASE, [0])]
    assert {walk.model_dump()["eta"] for walk in walks if walk.kind == "ddim"} == {0.0}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["latent", "attention", "weighting"])
def test_every_setting_of_what_is_trained_builds_a_model_of_the_quick_preset(name: str) -> None:
    assert all(dry_run(trial.config).stages for trial in plan(STUDIES[name], BASE, [0]))
