"""Conditions reach the network on one scale, survive the disk, and are drawn, given or refused by rules."""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sbldm.data.conditions import Conditions
from sbldm.data.slices import SliceSet
from sbldm.diffusion.samplers.ddim import Ddim
from sbldm.errors import ConfigError, DataError, RunError
from sbldm.latent import LatentCodec
from sbldm.model import CUES, Conditioner, LatentDiffusion, ModelSpec, forget_conditions, generate, measure_conditions
from sbldm.model.generate import draw_conditions

SAMPLER = Ddim(steps=3)
NAMES = "volume", "age"


def rows_of(count: int) -> Conditions:
    """Return volumes 0, 10, 20, .. and ages of which every fourth is missing."""
    volume = 10.0 * torch.arange(count)
    age = torch.where(torch.arange(count) % 4 == 3, math.nan, 40.0 + torch.arange(count))
    return Conditions(NAMES, torch.stack([volume, age], dim=1))


@pytest.fixture
def told(disks: SliceSet, codec: LatentCodec, make_spec: Callable[..., ModelSpec]) -> LatentDiffusion:
    spec = make_spec(conditions=NAMES)
    network = spec.build_network(0)
    draws = torch.Generator().manual_seed(1)
    for weight in network.parameters():  # an untrained network predicts 0 and would hide its inputs
        weight.data += 0.1 * torch.randn(weight.shape, generator=draws)
    conditioner = measure_conditions(rows_of(len(disks)), disks.subjects)
    return LatentDiffusion(spec, codec, network.requires_grad_(False), disks.positions, conditioner)


def images(model: LatentDiffusion, **settings: object) -> torch.Tensor:
    parts = generate(model, 5, **{"sampler": SAMPLER, "seed": 0, **settings})  # type: ignore[arg-type]
    return torch.cat([part.images for part in parts])


def conditions(model: LatentDiffusion, **settings: object) -> torch.Tensor:
    parts = generate(model, 5, **{"sampler": SAMPLER, "seed": 0, **settings})  # type: ignore[arg-type]
    return torch.cat([part.conditions for part in parts if part.conditions is not None])


def test_each_patient_counts_once_in_mean_and_deviation() -> None:
    """Patients of 3 and 1 slices: the mean is (2 + 6) / 2, and the squares about it are averaged per patient."""
    rows = Conditions(("a",), torch.tensor([[1.0], [2.0], [3.0], [6.0]]))
    found = measure_conditions(rows, torch.tensor([0, 0, 0, 7]))
    variance = ((9 + 4 + 1) / 3 + 4) / 2
    torch.testing.assert_close(found.mean, torch.tensor([4.0], dtype=torch.float64))
    torch.testing.assert_close(found.deviation, torch.tensor([variance**0.5], dtype=torch.float64))


def test_missing_numbers_do_not_move_the_mean_and_are_told_as_unknown() -> None:
    rows = Conditions(("a",), torch.tensor([[1.0], [math.nan], [3.0]]))
    found = measure_conditions(rows, torch.arange(3))
    told = torch.tensor([[-1.0, -0.5, 1.0], [0.0, 0.0, 0.0], [1.0, 0.5, 1.0]])  # of two numbers one is below the other
    torch.testing.assert_close(found.encode(rows.values), told)


def test_ranks_part_a_small_number_from_none_where_deviations_hardly_do() -> None:
    """Three of five slices show nothing, one a little and one much: ranks by hand, half of the equals counted."""
    rows = Conditions(("a",), torch.tensor([[0.0], [0.0], [0.0], [1.0], [100.0]]))
    found = measure_conditions(rows, torch.arange(5)).encode(torch.tensor([[0.0], [1.0], [100.0], [500.0]]))
    torch.testing.assert_close(found[:, 1], torch.tensor([-0.4, 0.4, 0.8, 1.0]))
    assert float(found[1, 0] - found[0, 0]) < 0.03
    assert float(found[3, 0]) > 5 * float(found[2, 0]) > 0, "beyond the training range deviations go on"


@pytest.mark.parametrize("values, message", [([2.0, 2.0], "must differ"), ([math.nan] * 2, "missing for all")])
def test_a_condition_that_says_nothing_is_refused(values: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        measure_conditions(Conditions(("a",), torch.tensor(values)[:, None]), torch.arange(2))


def test_cues_without_conditions_are_those_of_unknown_ones(told: LatentDiffusion) -> None:
    noisy, t = torch.randn(2, *told.spec.latent_shape), torch.tensor([3, 30])
    short = torch.tensor([[0.1, 0.0], [-0.5, 1.0]])
    full = torch.cat([short, torch.ones(2, 6)], dim=1)
    denoise = told.denoiser()
    assert torch.equal(denoise(noisy, t, short).clean, denoise(noisy, t, forget_conditions(full)).clean)
    assert not torch.equal(denoise(noisy, t, short).clean, denoise(noisy, t, full).clean)


def test_a_model_with_conditions_survives_the_disk(told: LatentDiffusion, tmp_path: Path) -> None:
    told.save(tmp_path)
    again = LatentDiffusion.load(tmp_path)
    assert again.spec == told.spec
    assert again.conditioner is not None
    assert told.conditioner is not None
    assert again.conditioner.digest() == told.conditioner.digest()
    assert torch.equal(images(again), images(told))


def test_a_model_without_conditions_says_nothing_of_them(model: LatentDiffusion, tmp_path: Path) -> None:
    model.save(tmp_path)
    assert "conditions" not in (tmp_path / "model.json").read_text()
    assert LatentDiffusion.load(tmp_path).conditioner is None
    assert model.spec.cues == len(CUES)


def test_weights_without_the_conditions_that_the_settings_name_are_refused(
    told: LatentDiffusion, tmp_path: Path
) -> None:
    bare = replace(told)
    object.__setattr__(bare, "conditioner", None)
    bare.save(tmp_path)
    with pytest.raises(RunError, match="training conditions are missing"):
        LatentDiffusion.load(tmp_path)


def test_settings_and_conditions_that_disagree_are_refused(told: LatentDiffusion, model: LatentDiffusion) -> None:
    with pytest.raises(ValueError, match="needs a row for each"):
        replace(told, conditioner=None)
    with pytest.raises(ValueError, match="needs a row for each"):
        replace(model, conditioner=told.conditioner)
    with pytest.raises(ValueError, match="needs a row for each"):
        replace(told, positions=told.positions[1:])


def test_conditions_are_drawn_with_the_position_of_the_same_training_row(told: LatentDiffusion) -> None:
    assert told.conditioner is not None
    for part in generate(told, 9, sampler=SAMPLER, seed=2, batch=4):
        assert part.conditions is not None
        rows = [int((told.positions == position).nonzero()) for position in part.positions]
        torch.testing.assert_close(part.conditions, told.conditioner.rows.values[rows], equal_nan=True)


def test_positions_are_those_of_the_same_seed_without_conditions(told: LatentDiffusion, model: LatentDiffusion) -> None:
    one, other = (next(generate(each, 5, sampler=SAMPLER, seed=0)).positions for each in (told, model))
    assert torch.equal(one, other)


def test_given_positions_bring_the_conditions_of_the_nearest_training_slice(told: LatentDiffusion) -> None:
    assert told.conditioner is not None
    near = told.positions[[4, 9]] + 0.01
    found = draw_conditions(told, near, 0, range(2))
    torch.testing.assert_close(found, told.conditioner.rows.values[[4, 9]], equal_nan=True)
    part = next(generate(told, 5, sampler=SAMPLER, seed=0, positions=near[:1]))
    assert part.conditions is not None
    assert part.conditions[:, 0].tolist() == [40.0] * 5


def test_given_conditions_replace_those_of_the_row_and_change_the_image(told: LatentDiffusion) -> None:
    asked = conditions(told, conditions={"volume": 70.0})
    assert asked[:, 0].tolist() == [70.0] * 5
    assert not torch.equal(images(told, conditions={"volume": 70.0}), images(told))


def test_a_request_leaves_the_training_rows_as_they_are(told: LatentDiffusion) -> None:
    assert told.conditioner is not None
    before = told.conditioner.digest()
    told.conditioner.request({"volume": 70.0}, told.conditioner.rows.values)
    assert told.conditioner.digest() == before


def test_a_sample_is_the_same_at_any_batch_size_and_resume(told: LatentDiffusion) -> None:
    whole = images(told, guidance=1.5, conditions={"age": 50.0})
    torch.testing.assert_close(
        images(told, guidance=1.5, conditions={"age": 50.0}, batch=2), whole, rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(
        images(told, guidance=1.5, conditions={"age": 50.0}, first=3), whole[3:], rtol=1e-4, atol=1e-4
    )


def test_guidance_of_minus_one_heeds_no_condition_and_zero_costs_one_call(told: LatentDiffusion) -> None:
    ignoring = [images(told, guidance=-1.0, conditions={"volume": value}) for value in (0.0, 200.0)]
    torch.testing.assert_close(*ignoring)
    calls = [next(generate(told, 2, sampler=SAMPLER, seed=0, guidance=w)).calls.tolist() for w in (0.0, 2.0)]
    assert calls == [[3, 3], [6, 6]]


@pytest.mark.parametrize(
    "wanted, message",
    [
        ({"volum": 3.0}, "unknown condition 'volum' - did you mean 'volume'.; this model knows volume, age"),
        ({"volume": 461.0}, r"condition volume was in \[0, 230\] in training, but got 461; ask for a value in or near"),
        (
            {"volume": -231.0},
            r"condition volume was in \[0, 230\] in training, but got -231; ask for a value in or near",
        ),
        ({"age": math.nan}, r"condition age was in \[40, 62\] in training, but got nan"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_in_one_line(
    told: LatentDiffusion, wanted: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        images(told, conditions=wanted)


def test_a_request_outside_the_training_range_is_warned_of_once(
    told: LatentDiffusion, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        images(told, conditions={"volume": 300.0}, batch=1)
    assert [record.getMessage() for record in caplog.records] == [
        "condition volume was in [0, 230] in training, but got 300: the model extrapolates"
    ]


def test_a_model_without_conditions_refuses_to_be_told_any(model: LatentDiffusion) -> None:
    with pytest.raises(ConfigError, match="without conditions and cannot heed conditions volume"):
        images(model, conditions={"volume": 1.0})
    with pytest.raises(ConfigError, match="cannot heed guidance 2"):
        images(model, guidance=2.0)


def test_statistics_that_do_not_fit_are_refused() -> None:
    rows = rows_of(5)
    for mean, deviation in ((torch.zeros(3), torch.ones(3)), (torch.zeros(2), torch.zeros(2))):
        with pytest.raises(DataError, match="conditions need"):
            Conditioner(rows, mean.double(), deviation.double())


def test_numbers_not_asked_for_come_from_training_rows_like_what_is_asked() -> None:
    """Of 40 rows of which 30 have no lesion, one in twenty is two; 1 mm^3 is nearest to the smallest, not to none."""
    volume = torch.cat([torch.zeros(30), 100.0 * torch.arange(1, 11)])
    found = measure_conditions(Conditions(("volume", "area"), torch.stack([volume, volume / 10], 1)), torch.arange(40))
    assert found.alike({}).tolist() == list(range(40))
    assert found.alike({"volume": 0.0}).tolist() == list(range(30))
    assert found.alike({"volume": 1.0}).tolist() == [30, 31]
    assert found.alike({"volume": 1e6}).tolist() == [38, 39]
    assert found.alike({"volume": 500.0, "area": 50.0}).tolist() == [33, 34, 35]


def test_a_row_whose_number_is_missing_is_like_no_request() -> None:
    found = measure_conditions(
        Conditions(("age",), torch.tensor([[math.nan], [1.0], [math.nan], [9.0]])), torch.arange(4)
    )
    assert found.alike({"age": 9.0}).tolist() == [3]


def test_samples_asked_for_something_keep_their_position_and_take_the_rest_from_rows_like_that(
    told: LatentDiffusion,
) -> None:
    """Rows 6 to 8 are the two in twenty-four nearest to 70, and equals, with their ages."""
    plain, asked = (
        next(generate(told, 5, sampler=SAMPLER, seed=0, **more)) for more in ({}, {"conditions": {"volume": 70.0}})
    )
    assert torch.equal(plain.positions, asked.positions)
    assert asked.conditions is not None
    assert set(asked.conditions[:, 1].nan_to_num(-1.0).tolist()) <= {46.0, -1.0, 48.0}
