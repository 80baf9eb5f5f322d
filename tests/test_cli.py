"""The command line says what went wrong in one line, and answers help without the heavy libraries."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cli
from sbldm.errors import (
    ConfigError,
    DataError,
    DivergedError,
    ResourceError,
    RunError,
    StorageError,
)
from search.cache import Cache
from search.dry_run import DryRun
from search.interrupt import Stopped
from search.reproduction import EXPERIMENTS
from search.reproduction.asking import Outcome
from search.reproduction.estimate import Foretold
from search.reproduction.planned import Findings
from search.studies import OPEN_STUDIES, STUDIES
from search.tracking import MlflowStore

COMMANDS = sorted(command.callback.__name__ for command in cli.app.registered_commands if command.callback)
HEAVY = ("torch", "mlflow", "optuna", "monai", "matplotlib", "numpy")
HELP = """
import contextlib, io, json, sys
import cli
told = {}
for command in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = cli.app([command, "--help"] if command else ["--help"], standalone_mode=False)
    told[command] = {"help": out.getvalue(), "loaded": [name for name in %r if name in sys.modules]}
print(json.dumps(told))
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Call the command in an empty folder, and return its exit code and both outputs."""
    monkeypatch.chdir(tmp_path)
    for name in ("SBLDM_MLRUNS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sbldm", *arguments])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        shown = capsys.readouterr()
        assert isinstance(leaving.value.code, int)
        return leaving.value.code, shown.out, shown.err

    yield call
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, str]]:
    """Ask each command for help in one fresh process."""
    command = [sys.executable, "-c", HELP % (HEAVY,), "", *COMMANDS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(cli.__file__).parent)
    answers: dict[str, dict[str, str]] = json.loads(done.stdout)
    return answers


def test_there_are_the_commands_that_the_tests_below_know() -> None:
    model = ["data", "sample", "schedule", "train"]
    numbers = ["benchmark", "compare", "evaluate", "power"]
    questions = ["experiment", "runs", "search", "studies", "sync", "table", "ui"]
    assert sorted(model + numbers + questions) == COMMANDS


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_says_what_the_command_does_and_loads_nothing_heavy(told: dict[str, dict[str, str]], command: str) -> None:
    assert "Usage:" in told[command]["help"]
    assert told[command]["loaded"] == []


def test_the_overview_names_every_command(told: dict[str, dict[str, str]]) -> None:
    for command in COMMANDS:
        assert f"\n  {command} " in told[""]["help"]


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["train", "--dry-run", "--set", "trainin.steps=3"], 2, ("'trainin.steps'", "did you mean 'training'")),
        (["train", "--dry-run", "--set", "training.step=3"], 2, ("'training.step'", "did you mean 'steps'")),
        (["train", "--dry-run", "--set", "training.steps=many"], 2, ("training.steps", "integer", "'many'")),
        (["train", "--dry-run", "--set", "training.steps"], 2, ("--set expects key=value", "'training.steps'")),
        (["train", "--dry-run", "--set", "training.steps=[1"], 2, ("line 1",)),
        (["train", "--dry-run", "--preset", "quik"], 2, ("unknown preset 'quik'", "did you mean 'quick'")),
        (["train", "--dry-run", "--config", "absent.yaml"], 2, ("absent.yaml", "No such file")),
        (["train", "--dry-run", "--data", "absent"], 3, ("absent: neither a folder nor a kind of source",)),
        (["train", "--dry-run", "--data", "phantm"], 3, ("did you mean 'phantom'",)),
        (["data", "absent"], 3, ("absent: neither a folder nor a kind of source",)),
        (["search", "--study", "gama", "--dry-run"], 4, ("no study 'gama'", "did you mean 'gamma'")),
        (["table", "gama"], 4, ("no study 'gama'",)),
        (["table", "gamma", "cutmx"], 4, ("no study 'cutmx'", "did you mean 'cutmix'")),
        (["experiment", "E1.11"], 4, ("no experiment 'E1.11'", "did you mean 'E1.1'")),
        (["experiment", "E1.1", "--set", "trainin.steps=3"], 2, ("'trainin.steps'", "did you mean 'training'")),
        (["runs"], 4, ("no runs are tracked here yet",)),
        (["sample", "abc"], 4, ("no runs are tracked here yet",)),
        (["evaluate", "abc"], 4, ("no runs are tracked here yet",)),
        (["table", "gamma", "--mlruns", "elsewhere"], 4, ("elsewhere", "no runs are tracked here yet")),
        (["evaluate"], 2, ("give RUN_ID, or --generated with --real",)),
        (["evaluate", "abc", "--generated", "x", "--real", "y"], 2, ("give RUN_ID, or --generated with --real",)),
        (["evaluate", "--generated", "x"], 2, ("give RUN_ID, or --generated with --real",)),
        (["evaluate", "--generated", "x", "--real", "y", "--range", "0"], 2, ("two numbers LOW,HIGH", "'0'")),
        (["evaluate", "--generated", "x", "--real", "phantom"], 3, ("x:",)),
        (["compare", "a", "b"], 4, ("no runs are tracked here yet",)),
        (["compare"], 2, ("RUN_A",)),
        (["sample", "abc", "--condition", "volume"], 2, ("must be NAME=NUMBER", "'volume'")),
        (["sample", "abc", "--volume", "--condition", "volume=3"], 4, ("no runs are tracked here yet",)),
        (["benchmark"], 2, ("give RUN_ID, or --synthetic with --real",)),
        (["benchmark", "a"], 4, ("no runs are tracked here yet",)),
        (["benchmark", "a", "--arm", "reel"], 2, ("unknown arm 'reel'", "did you mean 'real'")),
        (["benchmark", "a", "--seeds", "2"], 2, ("seeds must be 3 or more", "got 2")),
        (["benchmark", "a", "--fraction", "0"], 2, ("fractions", "(0, 1]")),
        (["benchmark", "a", "--encoder", "resnet19"], 2, ("unknown encoder 'resnet19'", "did you mean 'resnet1")),
        (["cache", "ls"], 4, ("no runs are tracked here yet",)),
        (["cache", "gc", "--older-than", "-1"], 2, ("--older-than",)),
        (["search", "--study", "gamma", "--workers", "0"], 2, ("--workers",)),
        (["search", "--study", "gamma", "--backend", "rai"], 2, ("unknown backend 'rai'", "did you mean 'ray'")),
        (["search", "--study", "gamma", "--storage", "mysql://me@here/x"], 2, ("postgresql://",)),
        (["schedule", "--gamma", "-1", "--plot", "a.png"], 2, ("schedule.gamma", "greater than 0", "-1")),
        (["schedule", "--kind", "cosin"], 2, ("'cosin'", "did you mean 'cosine'")),
        (["schedule", "--steps", "1001"], 2, ("between 1 and 1000 steps", "1001")),
        (["power", "a"], 4, ("no runs are tracked here yet",)),
        (["power", "a", "--chance", "2"], 2, ("--chance",)),
        (["train", "--dry-run", "--set", "evaluation.extractor=lite"], 2, ("clip-", "did you mean 'lite0'")),
        (["train", "--dry-run", "--set", "evaluation.companion=lite0"], 2, ("another extractor", "'lite0' twice")),
        (["train", "--stepz", "3"], 2, ("--stepz",)),
        (["search"], 2, ("--study",)),
        (["search", "--study", "gamma", "--name", "a/b"], 2, ("name must consist of letters", "'a/b'")),
        (["search", "--study", "joint", "--timeout", "2 days"], 2, ("2h30m", "'2 days'")),
        (["search", "--study", "absent.yaml"], 2, ("absent.yaml", "No such file")),
        (["search", "--study", "joint", "--data", "absent"], 3, ("absent: neither a folder",)),
        (["search", "--study", "joint", "--set", "trainin.steps=3"], 2, ("did you mean 'training'",)),
        (["sample", "abc", "--count", "0"], 2, ("--count", "greater than or equal to 1")),
        (["sample", "abc", "--count", "many"], 2, ("--count", "integer")),
        (["trian"], 2, ("trian",)),
    ],
)
def test_a_refusal_is_one_line_and_an_exit_code_and_writes_nothing(
    run: Run, tmp_path: Path, arguments: list[str], code: int, words: tuple[str, ...]
) -> None:
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith("sbldm: error: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error, code",
    [
        (ConfigError("x"), 2),
        (DataError("x"), 3),
        (ValueError("x"), 3),
        (RunError("x"), 4),
        (ResourceError("x"), 5),
        (DivergedError("x"), 6),
        (StorageError("x"), 7),
        (Stopped(75), 75),
        (Stopped(130), 130),
        (ZeroDivisionError("first\nsecond"), 1),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("search.inspect.describe_studies", fail)
    found, out, err = run("studies")
    assert (found, out, err.count("\n")) == (code, "", 1)


def test_a_message_of_several_lines_is_told_in_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConfigError("first\n  second")

    monkeypatch.setattr("search.inspect.describe_studies", fail)
    assert run("studies") == (2, "", "sbldm: error: first second\n")


def test_debug_shows_where_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sbldm", "table", "gama", "--debug"])
    with pytest.raises(RunError, match="no study 'gama'"):
        cli.main()


def test_schedules_are_told_and_drawn_before_anything_is_trained(run: Run, tmp_path: Path) -> None:
    code, out, err = run("schedule", "--gamma", "0.5", "--terminal", "free", "--terminal", "match", "--plot", "a.png")
    assert (code, err) == (0, "curves: a.png\n")
    assert "| gamma=0.5 terminal=match | 4.04e-05 |" in out  # alpha_bar_T of gamma = 1
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.size == (1440, 504)
    code, out, _ = run("schedule", "--kind", "cosine", "--json")
    (facts,) = json.loads(out)["schedules"]
    assert (code, facts["label"], facts["settings"]["terminal"]) == (0, "cosine", "free")


def test_the_cache_is_listed_and_cleared_of_what_was_never_finished(run: Run, tmp_path: Path) -> None:
    MlflowStore(tmp_path / "mlruns", must_exist=False).start("a", kind="run")
    cache = Cache(tmp_path / "mlruns" / "cache")
    whole, broken = cache.entry("data", "0" * 16), cache.entry("samples", "1" * 16)
    for entry in (whole, broken):
        (entry.directory / "file").write_bytes(b"12345")
        entry.commit({"seconds": 1.0})
    (broken.directory / "file").write_bytes(b"1234")
    code, out, _ = run("cache", "ls", "--json")
    assert code == 0
    assert [(each["stage"], each["state"]) for each in json.loads(out)["entries"]] == [
        ("data", "whole"),
        ("samples", "broken"),
    ]
    for options in (["--dry-run"], []):
        code, out, _ = run("cache", "gc", *options)
        assert code == 0
        assert f"samples/{'1' * 16}  broken" in out
        assert broken.directory.exists() == bool(options)
    assert whole.meta() == {"seconds": 1.0}


def test_studies_are_listed_for_people_and_as_json(run: Run) -> None:
    code, out, err = run("studies", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert list(told) == [*STUDIES, *OPEN_STUDIES]
    for name, study in STUDIES.items():
        assert told[name] == {"question": study.question, "cells": [cell.label for cell in study.cells()]}
    for name, searched in OPEN_STUDIES.items():
        assert told[name] == {"question": searched.question, "ranges": searched.to_json()["ranges"]}
    _, out, _ = run("studies")
    assert all(f"{name}: {study.question}\n" in out for name, study in {**STUDIES, **OPEN_STUDIES}.items())
    assert "30 draws by tpe from schedule.gamma in log [0.5, 2], " in out


def test_a_dry_search_over_ranges_says_what_it_draws_from_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    code, out, err = run("search", "--study", "joint", "--trials", "6", "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "6 draws by tpe, each with 1 seed(s)",
        "schedule.gamma in log [0.5, 2]",
        "loss.weight in uniform [0, 0.5]",
        "cutmix.probability in uniform [0, 0.5]",
        "sampler.threshold in log [0.01, 0.3]",
    ]
    assert list(tmp_path.iterdir()) == []


def test_experiments_are_listed_foretold_and_strict_where_asked(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run("experiment", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert [each["name"] for each in told] == list(EXPERIMENTS)
    told_before = Foretold(DryRun({}, "cpu", 0, (), ()), ("network",), 2, 13.0)
    monkeypatch.setattr("search.reproduction.asking.foretell", lambda *_, **__: told_before)
    code, out, _ = run("experiment", "E1.1", "E2.4", "--dry-run", "--json")
    assert (code, [(each["experiment"], each["hours"]) for each in json.loads(out)]) == (
        0,
        [("E1.1", 13), ("E2.4", 13)],
    )
    code, _, err = run("experiment", "E3.2")
    assert (code, "E3.2 takes about 13 h of training on this CPU, above --max-hours 12" in err) == (2, True)
    assert list(tmp_path.iterdir()) == []

    def ask(asked: Any, **_: object) -> Iterator[Any]:
        yield from ()
        verdict: Any = "pass" if asked[1].seed else "cannot tell"
        return Outcome(asked[0], "1", Findings(()), verdict)

    monkeypatch.setattr("search.reproduction.asking.ask", ask)
    monkeypatch.setattr("search.reproduction.asking.check_hours", lambda *_, **__: None)
    assert run("experiment", "E1.1")[0] == 0
    code, out, _ = run("experiment", "E1.1", "E1.2", "--strict")
    assert (code, out.count("verdict: cannot tell")) == (8, 2)
    code, out, _ = run("experiment", "E1.1", "--strict", "--json", "--set", "seed=1")
    assert (code, json.loads(out)[0]["verdict"]) == (0, "pass")


def test_a_dry_search_prints_every_trial_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    code, out, err = run("search", "--study", "gamma", "--seeds", "3", "--dry-run")
    lines = [line.split("\t") for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [label for label, _ in lines] == [
        f"{cell.label} seed={seed}" for seed in range(3) for cell in STUDIES["gamma"].cells()
    ]
    assert len({digest for _, digest in lines}) == len(lines)
    assert list(tmp_path.iterdir()) == []


def test_a_question_of_one_s_own_is_a_file_of_values(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: own\nquestion: Why?\naxes: {network.dropout: [0.0, 0.1]}\n")
    code, out, _ = run("search", "--study", "mine.yaml", "--dry-run", "--seeds", "1")
    assert code == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == [
        "network.dropout=0 seed=0",
        "network.dropout=0.1 seed=0",
    ]
    code, _, err = run("search", "--study", "mine.py", "--dry-run")
    assert (code, "settings cannot name code" in err) == (2, True)


def test_what_comes_later_wins(run: Run, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("seed: 5\ntraining: {steps: 7}\nschedule: {kind: gamma, gamma: 2}\n")

    def settings(*more: str) -> dict[str, dict[str, object]]:
        code, out, _ = run("train", "--dry-run", "--json", *more)
        assert code == 0
        found: dict[str, dict[str, object]] = json.loads(out)["settings"]
        return found

    plain = settings()
    laid = settings("--config", "settings.yaml")
    over = settings("--config", "settings.yaml", "--set", "training.steps=1e1", "--set", "seed=6")
    assert (laid["seed"], laid["training"]["steps"], laid["schedule"]["gamma"]) == (5, 7, 2.0)
    assert laid["training"] == plain["training"] | {"steps": 7}
    assert (over["seed"], over["training"]["steps"], over["schedule"]) == (6, 10, laid["schedule"])


def test_dry_settings_hold_no_path(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "dr-mueller"
    folder.mkdir()
    code, out, err = run("train", "--dry-run", "--json", "--data", str(folder))
    assert code == 0
    assert json.loads(out)["settings"]["data"]["root"] == "private"
    assert "mueller" not in out + err


def test_what_cannot_fit_is_refused_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    code, out, err = run("train", "--dry-run", "--set", "training.batch=100000000")
    assert (code, out, err.count("\n")) == (5, "", 1)
    assert "lower training.batch" in err
    code, out, _ = run("train", "--dry-run")
    assert code == 0
    assert "GFLOP a step" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # a fresh process that trains
def test_a_killed_training_goes_on_and_is_told_as_json(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "data: {kind: phantom, patients: 14, slices: 4, size: 32}\n"
        "prepare: {size: 32}\n"
        "autoencoder: {kind: patch, hidden_dims: [4, 4], latent_channels: 3}\n"
        "autoencoder_training: {steps: 6, batch: 4}\n"
        "network: {kind: plain, model_channels: 8, blocks: 1}\n"
        "training: {steps: 3000, batch: 4, schedule: constant, warmup_steps: 0}\n"
        "sampler: {kind: ddim, steps: 2}\n"
        "evaluation: {samples: 12}\n"
        "device: cpu\n"
    )
    command = [sys.executable, "-m", "cli", "train", "--config", "tiny.yaml", "--json"]
    source = str(Path(cli.__file__).parent)
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    first = start()
    assert first.stderr is not None
    for line in first.stderr:
        if "diffusion" in line:  # a quarter is done
            first.send_signal(signal.SIGTERM)
            break
    _, rest = first.communicate(timeout=200)
    assert first.returncode == 75
    assert rest.endswith("sbldm: stopped; the same command goes on\n")
    second = start()
    out, err = second.communicate(timeout=280)
    assert second.returncode == 0, err
    assert "autoencoder: ready in the cache" in err
    assert json.loads(out)["results"]["eval/fd_lite0"]["n"]["generated"] == 12


@pytest.mark.slow  # real features of a few images
def test_images_of_any_generator_are_measured_without_a_run(run: Run, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    for name, spread in (("real", 20), ("made", 60)):
        for index in range(12):
            folder = tmp_path / name / f"patient{index // 2}"
            folder.mkdir(parents=True, exist_ok=True)
            values = (128 + spread * noise.standard_normal((32, 32))).clip(0, 255).astype(np.uint8)
            Image.fromarray(values).save(folder / f"{index}.png")
    code, out, err = run("evaluate", "--generated", "made", "--real", "real", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["results"]["eval/fd_lite0"]["point"] > told["results"]["floor/fd_lite0"]["point"]
    assert told["results"]["eval/fd_lite0"]["n"]["real_patients"] == 6
    page = (tmp_path / told["report"]).read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert str(tmp_path) not in page
