import pytest

from sbldm.errors import ConfigError
from search.config import ExperimentConfig, override
from search.dry_run import dry_run
from search.presets import preset
from search.reproduction import EXPERIMENTS
from search.reproduction.estimate import ROOM, SHARE, Foretold, check_hours, count_networks, foretell, say_hours

SPEED = 1e9


def test_hours_are_operations_over_the_share_of_the_machine_s_speed(
    tiny: ExperimentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.reproduction.estimate.measure_speed", lambda: SPEED)
    both = foretell(EXPERIMENTS["E1.2"], tiny, seeds=1)
    first, second = both.told.stages
    assert both.hours == pytest.approx(6 * (first.step_flops + second.step_flops) / (SHARE * SPEED) / 3600)
    alone = foretell(EXPERIMENTS["E1.1"], tiny, seeds=1)
    assert alone.hours == pytest.approx(6 * first.step_flops / (SHARE * SPEED) / 3600)
    assert "trains autoencoder; about" in alone.lines()[-1]


@pytest.mark.parametrize("name, networks", [("E2.1", 10), ("E2.2", 8), ("E2.3", 6), ("E2.4", 2), ("E1.2", 1)])
def test_settings_of_the_sampler_share_a_training(name: str, networks: int) -> None:
    planned = EXPERIMENTS[name]
    assert count_networks(planned, override(preset("quick"), dict(planned.changes)), seeds=2) == networks


def test_what_takes_too_long_is_refused_with_the_way_out(tiny: ExperimentConfig) -> None:
    planned, foretold = EXPERIMENTS["E3.2"], Foretold(dry_run(tiny), ("network",), 1, 90.0)
    with pytest.raises(ConfigError, match=r"E3.2 takes about 90 h .* above --max-hours 12; run it on a GPU") as refused:
        check_hours(planned, foretold, 12)
    assert float(str(refused.value).rsplit(" ", 1)[1]) == ROOM * 90
    check_hours(planned, foretold, ROOM * 90)


def test_durations_are_told_in_the_unit_that_suits_them() -> None:
    assert (say_hours(0.05), say_hours(12.34)) == ("3 min", "12.3 h")
