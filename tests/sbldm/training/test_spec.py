import pytest

from sbldm.training import TrainingSpec, learning_rate


@pytest.mark.parametrize("step, rate", [(1, 0.25), (2, 0.5), (4, 1.0), (5, 1.0), (20, 1.0)])
def test_a_constant_rate_rises_linearly_to_its_value(step: int, rate: float) -> None:
    spec = TrainingSpec(steps=20, learning_rate=1.0, warmup_steps=4)
    assert learning_rate(spec, step) == pytest.approx(rate)


@pytest.mark.parametrize("step, rate", [(1, 0.25), (4, 1.0), (8, 0.75), (10, 0.5), (12, 0.25), (16, 0.0)])
def test_a_cosine_rate_falls_to_zero_at_the_last_step(step: int, rate: float) -> None:
    spec = TrainingSpec(steps=16, learning_rate=1.0, warmup_steps=4, schedule="cosine")
    assert learning_rate(spec, step) == pytest.approx(rate, abs=1e-12)  # cos(60), cos(90), cos(120) degrees


def test_a_warm_up_longer_than_training_never_reaches_the_full_rate() -> None:
    spec = TrainingSpec(steps=5, learning_rate=1.0, warmup_steps=10, schedule="cosine")
    assert learning_rate(spec, 5) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"batch": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"ema_decay": 1.0},
        {"ema_decay": -0.1},
        {"gradient_clip": 0.0},
        {"commit_every": 0},
        {"precision": "float8"},
        {"lr": 1e-3},
    ],
)
def test_settings_out_of_range_are_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        TrainingSpec.model_validate({"steps": 10, **changes})


def test_settings_that_are_not_in_use_leave_every_digest_as_it_was() -> None:
    """The digest is the one these settings had before accumulate, checkpoint_activations and compile were known."""
    spec = TrainingSpec(steps=10)
    assert spec.digest() == "500a57b58813fd85"
    assert TrainingSpec(steps=10, accumulate=1, checkpoint_activations=False, compile=False).digest() == spec.digest()
    changes: list[dict[str, object]] = [{"accumulate": 2}, {"checkpoint_activations": True}, {"compile": True}]
    changed = {TrainingSpec.model_validate({"steps": 10, **change}).digest() for change in changes}
    assert len(changed | {spec.digest()}) == 4


def test_a_complete_dump_names_every_setting() -> None:
    spec = TrainingSpec(steps=10)
    assert spec.model_dump(context={"complete": True}).keys() == TrainingSpec.model_fields.keys()
    assert TrainingSpec.model_validate(spec.model_dump()) == spec
