import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbldm.errors import RunError
from search.config import ExperimentConfig, override
from search.reproduction import EXPERIMENTS, find_experiment
from search.reproduction.asking import Outcome, ask, describe_plan, request
from search.tables import print_tables
from search.tracking import MlflowStore

Follow = Callable[..., tuple[list[Any], Any]]
Ask = Callable[..., Outcome]


@pytest.fixture(scope="module")
def ask_tiny(
    tiny: ExperimentConfig, store: MlflowStore, follow: Follow, tmp_path_factory: pytest.TempPathFactory
) -> Ask:
    """Run an experiment at the smallest budget; all share one cache."""
    home = tmp_path_factory.mktemp("plan")

    def run(name: str, changes: dict[str, Any] | None = None, *, seeds: int = 2) -> Outcome:
        changes = {"split.test": 0.3, "split.validation": 0.2, "split.train": 0.5, **(changes or {})}
        config = override(tiny, changes)
        outcome: Outcome = follow(ask((EXPERIMENTS[name], config), home=home, store=store, seeds=seeds, workers=1))[1]
        return outcome

    return run


def test_the_autoencoder_alone_is_trained_and_judged_on_test_patients(ask_tiny: Ask, store: MlflowStore) -> None:
    outcome = ask_tiny("E1.1")
    (run,) = [run for run in store.runs(experiment="E1.1") if run.run_id == outcome.run_id]
    ssim, psnr = outcome.findings.checks
    assert (ssim.point, ssim.low) == (run.metrics["criterion/1"], run.metrics["reconstruction/ssim_low"])
    assert psnr.point == store.results(outcome.run_id)["reconstruction/psnr"].point
    assert (run.status, run.tags["sbldm.verdict"]) == ("FINISHED", outcome.verdict)
    assert run.tags["sbldm.criterion.1"] == f"SSIM of reconstructed test slices > 0.85: {ssim.verdict}"
    assert store.document(outcome.run_id, "experiment.json") == json.loads(json.dumps(outcome.to_json()))
    assert "| SSIM of reconstructed test slices > 0.85 |" in outcome.text()


def test_the_same_settings_go_on_in_the_same_run_and_others_in_another(ask_tiny: Ask) -> None:
    first, again, other = ask_tiny("E1.1"), ask_tiny("E1.1"), ask_tiny("E1.1", {"autoencoder_seed": 1})
    assert first.run_id == again.run_id != other.run_id
    assert first.to_json() == again.to_json()


def test_a_network_is_held_against_itself_before_training(ask_tiny: Ask, store: MlflowStore) -> None:
    outcome = ask_tiny("E1.2", {"training.steps": 60})
    loss, ratio = outcome.findings.checks
    found = store.results(outcome.run_id)
    assert ratio.point == pytest.approx(found["eval/fd_fake"].point / found["untrained/fd_fake"].point)
    assert loss.point < 0, "60 steps on latents of unit variance lower the loss"
    assert {"sbldm.network", "sbldm.verdict"} <= store.find(outcome.run_id).tags.keys()


@pytest.mark.slow  # another whole experiment
def test_a_network_that_learns_nothing_does_not_pass(ask_tiny: Ask) -> None:
    outcome = ask_tiny("E1.2", {"training.learning_rate": 1e-12})
    loss, ratio = outcome.findings.checks
    assert "pass" not in (loss.verdict, ratio.verdict)


def test_few_steps_are_held_against_every_level_of_the_same_network(ask_tiny: Ask, store: MlflowStore) -> None:
    few = {"schedule": {"kind": "linear", "timesteps": 20, "beta_end": 0.5}, "sampler.steps": 5}
    outcome = ask_tiny("E1.3", few)
    ratio, seconds = outcome.findings.checks
    found = store.results(outcome.run_id)
    assert ratio.point == pytest.approx(found["ddim-5/fd_fake"].point / found["ddpm-20/fd_fake"].point)
    assert 0 < seconds.point < 5
    assert "ddim-5 against ddpm-20" in outcome.text()


@pytest.mark.slow  # another whole experiment
def test_a_benchmark_without_inception_is_measured_and_left_open(ask_tiny: Ask) -> None:
    outcome = ask_tiny("E3.3")
    fid, ideal, _ = outcome.findings.checks
    assert (fid.verdict, ideal.verdict) == ("cannot tell", "cannot tell")
    assert fid.point == outcome.findings.results["eval/fd_fake"].point
    assert fid.how.startswith("these limits are of Inception's features")
    assert "12 samples against" in outcome.findings.words[0]


def test_an_experiment_of_a_study_runs_its_trials_and_finds_them_again(ask_tiny: Ask, store: MlflowStore) -> None:
    outcome = ask_tiny("E2.3", seeds=1)
    labels = [f"cutmix.probability={value:g}" for value in (0.25, 0.5)]
    assert [(each.group, each.verdict) for each in outcome.findings.checks] == [
        (each, "cannot tell") for each in labels
    ]
    assert "1 seed cannot tell" in outcome.findings.checks[0].how
    assert outcome.verdict == "cannot tell"
    name = outcome.findings.words[-1].rsplit(" ", 1)[1]
    told = json.loads(print_tables([name], store, as_json=True))
    assert [each["setting"] for each in told["studies"][0]["settings"]][1:] == labels
    assert ask_tiny("E2.3", seeds=1).to_json() == outcome.to_json()
    assert len(store.runs(study=name, kind="trial")) == 3


def test_a_stopped_experiment_says_so(
    tiny: ExperimentConfig, store: MlflowStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = ask(
        (EXPERIMENTS["E1.1"], override(tiny, {"autoencoder_seed": 7})), home=tmp_path, store=store, seeds=1, workers=1
    )
    next(events)
    events.close()
    assert store.runs(experiment="E1.1")[-1].status == "KILLED"


def test_the_plan_is_told_for_people_and_machines() -> None:
    told = json.loads(describe_plan(as_json=True))
    assert [each["name"] for each in told] == list(EXPERIMENTS)
    text = describe_plan(as_json=False)
    for planned in EXPERIMENTS.values():
        assert planned.question in text
        assert planned.criteria[0] in text
    with pytest.raises(RunError, match="no experiment 'E9'"):
        find_experiment("E9")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_the_user_changes_wins_over_the_plan(name: str) -> None:
    planned, config = request(name, None, None, None, ["evaluation.samples=77"])
    assert (planned.name, config.evaluation.samples) == (name, 77)
