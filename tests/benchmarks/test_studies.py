"""The race of shared against independent trials: its arithmetic, and a whole one, too small to mean anything."""

import sys
from pathlib import Path

import pytest

from evaluation import MetricResult

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import studies
from studies import Spent

TRIALS = [("gamma", "a"), ("gamma", "b"), ("gamma", "c"), ("cutmix", "d"), ("cutmix", "e")]


def test_a_trial_that_was_not_run_is_taken_to_last_as_the_others_of_its_study() -> None:
    spent = {("gamma", "a"): Spent(2, 1), ("gamma", "c"): Spent(4, 3), ("cutmix", "e"): Spent(10, 20)}
    assert studies.extrapolate(spent, TRIALS) == Spent(2 + 4 + 3 + 10 + 10, 1 + 3 + 2 + 20 + 20)
    assert studies.extrapolate(dict.fromkeys(TRIALS, Spent(7, 8)), TRIALS) == Spent(35, 40)


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_has_a_trial_of_each_study_and_is_drawn_by_its_seed(seed: int) -> None:
    chosen = studies.choose(TRIALS, 3, seed)
    assert len(set(chosen)) == 3
    assert {name for name, _ in chosen} == {"gamma", "cutmix"}
    assert chosen == studies.choose(TRIALS, 3, seed)
    assert len({tuple(studies.choose(TRIALS, 3, each)) for each in range(20)}) > 1
    assert studies.choose(TRIALS, None, seed) == studies.choose(TRIALS, 9, seed) == TRIALS


def test_numbers_that_the_cache_changes_are_told_by_name() -> None:
    one = MetricResult("fd", 1.0, 0.5, 1.5, 0.95, "none", {"real": 2}, "none", "lower")
    other = MetricResult("fd", 1.0 + 1e-12, 0.5, 1.5, 0.95, "none", {"real": 2}, "none", "lower")
    studies.check_same({"eval/fd": one}, {"eval/fd": one}, "gamma, a")
    with pytest.raises(AssertionError, match="gamma, a: eval/fd differ"):
        studies.check_same({"eval/fd": one}, {"eval/fd": other}, "gamma, a")
    with pytest.raises(AssertionError, match="eval/fd differ"):
        studies.check_same({"eval/fd": one}, {}, "gamma, a")


@pytest.mark.slow
def test_a_small_race_ends_with_equal_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["data.patients=14", "data.slices=4", "data.size=32", "prepare.size=32", "evaluation.samples=12"]
    small += ["training.steps=6", "training.warmup_steps=2", "training.batch=4", "sampler.steps=2"]
    small += ["autoencoder_training.steps=6", "autoencoder_training.warmup_steps=2", "evaluation.companion=null"]
    small += ["autoencoder.hidden_dims=[4,4]", "autoencoder.downsample=4", "autoencoder.latent_channels=3"]
    small += ["network={kind: plain, model_channels: 8, blocks: 1}"]
    changes = [word for each in small for word in ("--set", each)]
    command = ["studies.py", "--studies", "cutmix", "frequency", "--sample", "2", "--least", "0", *changes]
    monkeypatch.setattr(sys, "argv", command)
    studies.main()
    told = capsys.readouterr().out
    assert told.count("the same numbers") == 2
    assert "7 trials of 2 studies, 1 seed(s), preset quick" in told
    assert "2 run, the others at the mean of their study" in told
