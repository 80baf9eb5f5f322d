import pytest

from sbldm.errors import ConfigError
from search.config import override
from search.presets import preset
from search.reproduction import EXPERIMENTS
from search.reproduction.estimate import ROOM, SHARE, check_hours, foretell, say_hours

SPEED = 1e9


@pytest.fixture(autouse=True)
def _known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.reproduction.estimate._measure_speed", lambda: SPEED)


def test_hours_are_operations_over_the_share_of_the_machine_s_speed() -> None:
    config = override(preset("quick"), {"device": "cpu"})
    both = foretell(EXPERIMENTS["E1.2"], config, seeds=1)
    first, second = both.told.stages
    expected = (first.step_flops * 600 + second.step_flops * 1000) / (SHARE * SPEED) / 3600
    assert both.hours == pytest.approx(expected)
    alone = foretell(EXPERIMENTS["E1.1"], config, seeds=1)
    assert alone.hours == pytest.approx(first.step_flops * 600 / (SHARE * SPEED) / 3600)
    assert "trains autoencoder; about" in alone.lines()[-1]


@pytest.mark.parametrize("name, networks", [("E2.1", 10), ("E2.2", 8), ("E2.3", 6), ("E2.4", 2), ("E1.2", 1)])
def test_settings_of_the_sampler_share_a_training(name: str, networks: int) -> None:
    planned = EXPERIMENTS[name]
    assert foretell(planned, override(preset("quick"), dict(planned.changes)), seeds=2).networks == networks


def test_what_takes_too_long_is_refused_with_the_way_out() -> None:
    planned, config = EXPERIMENTS["E3.2"], override(preset("t4"), {"device": "cpu"})
    foretold = foretell(planned, config, seeds=1)
    assert foretold.hours is not None
    with pytest.raises(ConfigError, match=r"E3.2 takes about .* h .* above --max-hours 12; run it on a GPU") as refused:
        check_hours(planned, foretold, 12)
    allowed = float(str(refused.value).rsplit(" ", 1)[1])
    assert allowed == pytest.approx(ROOM * foretold.hours, abs=1)
    check_hours(planned, foretold, allowed)


def test_durations_are_told_in_the_unit_that_suits_them() -> None:
    assert (say_hours(0.05), say_hours(12.34)) == ("3 min", "12.3 h")
