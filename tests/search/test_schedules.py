import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from evaluation import to_markdown
from sbldm.diffusion.schedules import SCHEDULES, Cosine, Gamma, Linear
from sbldm.errors import ConfigError
from search.schedules import COLORS, choose_schedules, describe_schedules, label_schedule, plot_schedules

EVERY = choose_schedules()
HAND = Linear(timesteps=3, beta_start=0.5, beta_end=0.9)  # alpha_bar 1, 0.5, 0.15, 0.015


def test_a_short_schedule_is_described_as_worked_out_by_hand() -> None:
    facts = describe_schedules([HAND], steps=2).facts[0]
    assert facts.alpha_bar_end == pytest.approx(0.015)
    assert facts.log_snr_end == pytest.approx(math.log(0.015 / 0.985))
    assert facts.first_noisy_level == 2  # at level 1 signal and noise are alike: SNR is 1, not below
    assert facts.early_steps == {"trailing": 0, "uniform": 0, "log-snr": 0}
    assert (facts.smallest_beta, facts.largest_beta) == (pytest.approx(0.5), pytest.approx(0.9))


# alpha_bar_T, first level with SNR < 1 and uniform steps of 50 at SNR > 1: from the hand table of the method,
# which counts levels from 0
@pytest.mark.parametrize(
    "gamma, end, first, early", [(0.5, 1.42e-6, 139, 7), (1, 4.04e-5, 260, 13), (2, 1.14e-3, 461, 23)]
)
def test_gammas_are_described_as_in_the_method(gamma: float, end: float, first: int, early: int) -> None:
    facts = describe_schedules([Gamma(gamma=gamma)], steps=50).facts[0]
    assert facts.alpha_bar_end == pytest.approx(end, rel=4e-3)
    assert (facts.first_noisy_level, facts.early_steps["uniform"]) == (first, early)


def test_a_zero_terminal_has_no_log_snr_and_is_still_strict_json() -> None:
    told = describe_schedules([Gamma(gamma=2, terminal="zero")])
    assert told.facts[0].alpha_bar_end == 0
    assert "pure noise" in to_markdown(told.table())
    assert json.loads(json.dumps(told.to_json(), allow_nan=False))["schedules"][0]["log_snr_end"] is None


def test_every_kind_is_shown_when_none_is_asked_for() -> None:
    assert {spec.kind for spec in EVERY} == set(SCHEDULES.kinds())
    rows = describe_schedules(EVERY).table().rows
    assert [row[0] for row in rows] == ["linear", "cosine", "gamma=0.5", "gamma=1", "gamma=2"]
    assert rows[0][1:] == rows[3][1:]  # gamma 1 is linear


def test_kinds_gammas_and_terminals_are_combined() -> None:
    found = choose_schedules(gammas=[0.5], kinds=["cosine"], terminals=["free", "zero"], timesteps=500)
    assert found == (
        Cosine(timesteps=500),
        Cosine(timesteps=500, terminal="zero"),
        Gamma(gamma=0.5, timesteps=500),
        Gamma(gamma=0.5, timesteps=500, terminal="zero"),
    )


@pytest.mark.parametrize(
    "asked, rule",
    [
        ({"gammas": [0.0]}, r"schedule.gamma: .*greater than 0, but got 0\.0"),
        ({"kinds": ["cosin"]}, "did you mean 'cosine'"),
        (
            {"kinds": ["linear"], "terminals": ["half"]},
            "schedule.terminal: .*'free', 'match' or 'zero', but got 'half'",
        ),
        ({"kinds": ["linear"], "timesteps": 100}, "never becomes noise"),
    ],
)
def test_a_schedule_that_breaks_a_rule_is_refused_in_one_line(asked: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule) as raised:
        choose_schedules(**asked)
    assert "\n" not in str(raised.value)


def test_more_steps_than_levels_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"between 1 and 3 steps.*steps=4"):
        describe_schedules([HAND], steps=4)


def test_labels_name_what_differs_from_the_default() -> None:
    assert label_schedule(Gamma()) == "gamma=1"
    assert label_schedule(Gamma(gamma=0.5, terminal="match", beta_end=0.03)) == "gamma=0.5 terminal=match beta_end=0.03"
    assert label_schedule(HAND) == "linear timesteps=3 beta_start=0.5 beta_end=0.9"


def test_a_picture_holds_a_line_of_its_own_color_for_each_schedule(tmp_path: Path) -> None:
    path = plot_schedules([Linear(), Cosine(), Gamma(gamma=2, terminal="zero")], tmp_path / "new" / "schedules.png")
    pixels = torch.frombuffer(bytearray(Image.open(path).convert("RGB").tobytes()), dtype=torch.uint8).reshape(-1, 3)
    counts = [
        int((pixels == torch.tensor([int(color[i : i + 2], 16) for i in (1, 3, 5)])).all(1).sum()) for color in COLORS
    ]
    assert min(counts[:3]) > 500
    assert max(counts[3:-1]) < 20  # black is also the color of text


def test_a_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one schedule or more"):
        plot_schedules([], tmp_path / "none.png")
