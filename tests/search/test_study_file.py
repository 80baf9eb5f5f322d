import subprocess
import sys
from pathlib import Path

import pytest

from sbldm.errors import ConfigError, RunError
from search.open_study import OpenStudy
from search.presets import preset
from search.runner import plan
from search.space import Choice, LogUniform, Uniform
from search.studies import OPEN_STUDIES, STUDIES
from search.study import Study
from search.study_file import find_question, find_study, read_study

GRID = """
name: dropout
question: Does dropout change anything?
axes:
  network.dropout: [0.0, 0.1]
  prediction: [x0, v]
baseline: network.dropout=0.1 prediction=v
base: {training.steps: 7}
"""
RANGES = """
name: rates
question: Which rate?
ranges:
  training.learning_rate: {log: [1e-4, 1e-2]}
  training.steps: {uniform: [5, 9]}
  prediction: {choice: [x0, v]}
sampler: nsga2
trials: 7
objectives: {selection/kid: minimize}
constraints: []
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "my.yaml"


def test_a_grid_in_a_file_plans_as_one_in_the_code_would(file: Path) -> None:
    file.write_text(GRID)
    study = find_study(str(file))
    assert study == Study(
        name="dropout",
        question="Does dropout change anything?",
        axes={"network.dropout": (0.0, 0.1), "prediction": ("x0", "v")},
        baseline="network.dropout=0.1 prediction=v",
        run_time="unknown",
        base={"training.steps": 7},
    )
    trials = plan(study, preset("quick"), [0])
    assert [trial.config.network.model_dump()["dropout"] for trial in trials] == [0.0, 0.0, 0.1, 0.1]
    assert {trial.config.training.steps for trial in trials} == {7}
    assert Study.from_json(study.to_json()) == study


def test_the_first_setting_is_the_baseline_where_none_is_named(file: Path) -> None:
    file.write_text(GRID.replace("baseline: network.dropout=0.1 prediction=v\n", ""))
    assert find_study(str(file)).baseline == "network.dropout=0 prediction=x0"


def test_ranges_in_a_file_make_a_search(file: Path) -> None:
    file.write_text(RANGES)
    study = find_question(str(file))
    assert isinstance(study, OpenStudy)
    assert study.ranges == {
        "training.learning_rate": LogUniform(1e-4, 1e-2),
        "training.steps": Uniform(5, 9),
        "prediction": Choice(("x0", "v")),
    }
    assert (study.sampler, study.trials, study.constraints) == ("nsga2", 7, ())
    assert OpenStudy.from_json(study.to_json()) == study
    with pytest.raises(RunError, match=r"'rates' searches ranges"):
        find_study(str(file))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("axes:", "axis:", r"unknown key 'axis' - did you mean 'axes'\?"),
        ("baseline: network", "baselin: network", "did you mean 'baseline'"),
        ("question: Does dropout change anything?\n", "", "a study needs question"),
        ("[0.0, 0.1]", "0.1", r"axis network.dropout must be a list of values, but got 0\.1"),
        ("dropout=0.1 ", "dropout=0.2 ", "baseline must be one of"),
        ("[0.0, 0.1]", "[0.1, 0.1]", "distinct labels"),
        ("name: dropout", "name: gamma", "must not be that of a study that is ready.*'gamma'"),
        ("name: dropout", "name: 7", "name must be text, but got 7"),
        ("{training.steps: 7}", "[1]", r"base must be a mapping, but got \[1\]"),
        ("[0.0, 0.1]", "&a [0.0, 0.1]\n  other: *a", "aliases are not allowed"),
        ("[0.0, 0.1]", "!!python/object/apply:os.getcwd []", "python/object"),
        ("base:", "ranges: {}\nbase:", "but not both"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_it(file: Path, old: str, new: str, message: str) -> None:
    assert old in GRID
    file.write_text(GRID.replace(old, new))
    with pytest.raises(ConfigError, match=message) as refusal:
        read_study(file)
    assert str(refusal.value).startswith(f"{file}: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("log:", "lg:", r"range training.learning_rate: unknown 'lg' - did you mean 'log'\?"),
        ("[1e-4, 1e-2]", "[0, 1]", "must lie above 0"),
        ("[5, 9]", "[9, 5]", "the lower first"),
        ("[5, 9]", "[5]", "two numbers as ends"),
        ("[5, 9]", "[5, true]", "two numbers as ends"),
        ("[x0, v]", "[x0, x0]", "two distinct values"),
        ("nsga2", "random", "sampler must be one of tpe, nsga2, gp, but got 'random'"),
        ("trials: 7", "trials: 0", "trials must be a whole number"),
        ("selection/kid: minimize", "selection/kid: least", "objective must be one of minimize, maximize"),
        ("constraints: []", "constraints: copies", "constraints must be a list"),
    ],
)
def test_a_wrong_search_is_refused_in_one_line(file: Path, old: str, new: str, message: str) -> None:
    assert old in RANGES
    file.write_text(RANGES.replace(old, new))
    with pytest.raises(ConfigError, match=message) as refusal:
        read_study(file)
    assert "\n" not in str(refusal.value)


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("raise SystemExit('was run')")
    with pytest.raises(ConfigError, match="settings cannot name code"):
        find_question(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        find_question(str(tmp_path / "none.yaml"))


def test_an_unknown_study_names_the_nearest_and_all() -> None:
    with pytest.raises(RunError, match=r"did you mean 'gamma'.*cutmix") as refusal:
        find_study("gama")
    assert all(name in str(refusal.value) for name in (*STUDIES, *OPEN_STUDIES))


def test_every_ready_study_is_found_by_its_name() -> None:
    for name, study in {**STUDIES, **OPEN_STUDIES}.items():
        assert find_question(name) is study


def test_a_study_is_found_before_the_libraries_that_take_seconds() -> None:
    find = "import sys, search.studies; search.studies.find_question('joint')"
    code = f"{find}; print([name for name in ('torch', 'optuna', 'mlflow') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
