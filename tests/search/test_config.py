from pathlib import Path
from typing import Any

import pytest

from sbldm.errors import ConfigError
from search.config import ExperimentConfig, build_config, flatten, layer, override
from search.presets import PRESETS, preset
from search.settings_file import parse_yaml

DEFAULT = ExperimentConfig()


def at(settings: Any, path: str) -> Any:
    for key in path.split("."):
        settings = settings[key]
    return settings


@pytest.mark.parametrize("path", sorted(flatten(DEFAULT.model_dump(mode="json"))))
def test_each_flattened_key_can_be_overridden_with_its_own_value(path: str) -> None:
    value = at(DEFAULT.model_dump(mode="json"), path)
    assert override(DEFAULT, {path: value}) == DEFAULT


@pytest.mark.parametrize(
    "path, value",
    [("seed", 5), ("training.steps", 7), ("schedule.timesteps", 800), ("evaluation.level", 0.9), ("sampler.eta", 1.0)],
)
def test_an_override_changes_what_it_names_and_nothing_else(path: str, value: object) -> None:
    changed = override(DEFAULT, {path: value})
    before, after = flatten(DEFAULT.model_dump(mode="json")), flatten(changed.model_dump(mode="json"))
    assert {key for key in before | after if before.get(key) != after.get(key)} == {path}
    assert at(changed.model_dump(mode="json"), path) == value
    assert override(changed, {path: at(DEFAULT.model_dump(mode="json"), path)}) == DEFAULT


def test_a_mapping_replaces_its_section_whole() -> None:
    changed = override(override(DEFAULT, {"training.batch": 3}), {"training": {"steps": 5}})
    assert (changed.training.steps, changed.training.batch) == (5, 16)


def test_a_new_kind_starts_from_its_own_defaults_and_the_old_kind_changes_nothing() -> None:
    longer = override(DEFAULT, {"schedule.timesteps": 800})
    assert (
        override(longer, {"schedule.kind": "cosine"}).schedule.model_dump()
        == build_config({"schedule": {"kind": "cosine"}}).schedule.model_dump()
    )
    assert override(longer, {"schedule.kind": "linear"}) == longer


def test_a_kind_is_set_before_its_parts_in_whatever_order_they_are_given() -> None:
    changes = {"schedule.gamma": 0.5, "schedule.kind": "gamma"}
    changed = override(DEFAULT, changes)
    assert changed == override(DEFAULT, dict(reversed(changes.items())))
    assert changed.schedule.model_dump()["gamma"] == 0.5


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"schedul.gamma": 1}, ("'schedul.gamma'", "did you mean 'schedule'")),
        ({"training.step": 1}, ("'training.step'", "did you mean 'steps'", "of training")),
        ({"sampler.step": 1}, ("'sampler.step'", "did you mean 'steps'", "sampler kind 'ddim'")),
        ({"schedule.gamma": 1}, ("'schedule.gamma'", "known: kind, timesteps", "schedule kind 'linear'")),
        ({"seed.kind": "x"}, ("'seed.kind'", "seed has no parts")),
        ({"seed.deep": 1}, ("'seed.deep'", "seed has no parts")),
        ({"evaluation.level.deep": 1}, ("'evaluation.level.deep'", "no parts")),
        ({"schedule.kind": "cosin"}, ("unknown schedule 'cosin'", "did you mean 'cosine'")),
        ({"schedule": "linear"}, ("must be a mapping with a kind", "'linear'")),
        ({"training.steps": "many"}, ("training.steps", "integer", "'many'")),
        ({"training.steps": 0}, ("training.steps", "greater than or equal to 1", "0")),
        ({"training": {"steps": 5, "stepz": 1}}, ("'training.stepz'",)),
        ({"split": {"train": 0.9}}, ("sum to 1", "1.3")),
        ({"prediction": "noise"}, ("prediction", "'noise'")),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(changes: dict[str, object], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refusal:
        override(DEFAULT, changes)
    assert len(str(refusal.value).splitlines()) == 1
    for word in words:
        assert word in str(refusal.value)


def test_every_wrong_setting_of_a_file_is_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"training\.steps.*-1; .*'seeds'.*'seed'"):
        build_config({"seeds": 1, "training": {"steps": -1}})


def test_noise_prediction_is_refused_where_the_last_level_holds_no_signal() -> None:
    zero = override(DEFAULT, {"schedule.terminal": "zero"})
    with pytest.raises(ConfigError, match="zero terminal"):
        override(zero, {"prediction": "eps"})
    assert override(DEFAULT, {"prediction": "eps"}).prediction == "eps"


def test_public_settings_hold_no_path_and_leave_everything_else_as_it_is() -> None:
    secret = "/home/dr-mueller/weights.pth"
    public = override(DEFAULT, {"evaluation.weights": secret}).public()
    assert "mueller" not in str(public)
    assert public["evaluation"]["weights"] == "private"
    plain = DEFAULT.public()
    assert flatten(plain) == flatten(DEFAULT.model_dump(mode="json"))
    assert plain["evaluation"].pop("weights") is None
    assert public["evaluation"].pop("weights")
    assert public == plain


def test_flattened_text_reads_back_as_the_same_settings() -> None:
    config = override(
        DEFAULT, {"schedule.kind": "gamma", "training.learning_rate": 1e-5, "training.gradient_clip": None}
    )
    flat = flatten(config.model_dump(mode="json"))
    assert override(DEFAULT, {path: parse_yaml(text) for path, text in flat.items()}) == config


def test_layering_keeps_a_section_whole_only_where_it_names_its_kind() -> None:
    settings = {"seed": 1, "training": {"steps": 2}, "schedule": {"kind": "gamma", "gamma": 2.0}}
    assert layer(settings) == {"seed": 1, "training.steps": 2, "schedule": {"kind": "gamma", "gamma": 2.0}}


def test_a_digest_names_the_settings_and_not_the_way_to_them() -> None:
    there = override(DEFAULT, {"seed": 1, "training.steps": 7})
    assert there.digest() == override(override(DEFAULT, {"training.steps": 7}), {"seed": 1}).digest()
    assert build_config(there.model_dump(mode="json")).digest() == there.digest()
    assert there.digest() != DEFAULT.digest()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_complete_and_survives_its_own_public_form(name: str) -> None:
    config = preset(name)
    assert build_config(config.public()) == config


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'laptop'"):
        preset("labtop")


def test_a_path_setting_is_a_path() -> None:
    assert override(DEFAULT, {"evaluation.weights": "a/b.pth"}).evaluation.weights == Path("a/b.pth")


def test_settings_that_are_valid_only_together_are_set_together() -> None:
    shares = {"train": 0.5, "validation": 0.1, "test": 0.4}
    assert override(DEFAULT, layer({"split": shares})).split.model_dump() == shares | {"seed": 0}
    zero = override(DEFAULT, {"schedule.terminal": "zero"})
    assert override(zero, {"prediction": "eps", "schedule.terminal": "free"}).prediction == "eps"


def test_a_setting_of_a_new_kind_can_be_set_with_it() -> None:
    changed = override(DEFAULT, {"schedule.gamma": 0.5, "schedule.kind": "gamma"})
    assert changed.schedule.model_dump()["gamma"] == 0.5


def test_true_is_not_a_number() -> None:
    with pytest.raises(ConfigError, match="steps must not be true or false, but got True"):
        override(DEFAULT, {"training.steps": True})


@pytest.mark.parametrize(
    "path, value",
    [
        ("training.accumulate", 2),
        ("conditioning.dropout", 0.3),
        ("data.lesion_conditions", ("volume",)),
        ("skip.kind", "gaussian"),
        ("training_levels.kind", "log-normal"),
    ],
)
def test_a_setting_that_is_not_in_use_can_be_set_and_leaves_no_trace_otherwise(path: str, value: object) -> None:
    plain = ExperimentConfig()
    base = override(plain, {"data.lesion_probability": 0.5}) if path.startswith("data") else plain
    section, _, name = path.partition(".")
    changed = override(base, {path: value})
    assert getattr(getattr(changed, section), name) == value
    assert name not in base.public().get(section, {})
    assert override(base, {}).digest() == base.digest() != changed.digest()


def test_autoguidance_without_a_closed_form_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(ConfigError, match=r"skip 'none' lacks, and so must be 0, but got 1.5; set it to 0"):
        override(DEFAULT, {"sampler.autoguidance": 1.5})
    assert override(DEFAULT, {"sampler.autoguidance": 1.5, "skip.kind": "gaussian"}).sampler.autoguidance == 1.5


def test_a_law_of_levels_that_misses_the_schedule_is_refused_before_anything_is_trained() -> None:
    law = {"kind": "log-normal", "center": 15, "spread": 0.5}
    with pytest.raises(ConfigError, match="training_levels must lie where the schedule has levels"):
        override(DEFAULT, {"training_levels": law})
