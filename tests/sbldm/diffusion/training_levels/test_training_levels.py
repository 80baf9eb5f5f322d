import math

import pytest
import torch
from scipy import stats

from sbldm.diffusion import SCHEDULES, TRAINING_LEVELS, Schedule, TrainingLevelsSpec
from sbldm.diffusion.training_levels import LogNormal, Uniform
from sbldm.errors import ConfigError
from sbldm.seeding import generator


@pytest.fixture(params=TRAINING_LEVELS.kinds())
def law(request: pytest.FixtureRequest) -> TrainingLevelsSpec:
    return TRAINING_LEVELS.parse({"kind": request.param})


@pytest.fixture(params=["free", "zero"])
def schedule(request: pytest.FixtureRequest) -> Schedule:
    return SCHEDULES.parse({"kind": "cosine", "timesteps": 40, "terminal": request.param}).build()


def test_probabilities_cover_every_level_and_sum_to_1(law: TrainingLevelsSpec, schedule: Schedule) -> None:
    found = law.probabilities(schedule)
    assert found.shape == (40,)
    assert float(found.min()) > 0
    assert float(found.sum()) == pytest.approx(1, abs=1e-12)


def test_draws_follow_the_probabilities(law: TrainingLevelsSpec, schedule: Schedule) -> None:
    drawn = law.draw(40_000, schedule, generator(0, "levels"))
    counts = torch.bincount(drawn, minlength=41)
    assert int(counts[0]) == 0
    assert len(counts) == 41
    expected = law.probabilities(schedule) * 40_000
    assert stats.chisquare(counts[1:].numpy(), expected.numpy()).pvalue > 1e-3


def test_the_generator_alone_decides_the_draws(law: TrainingLevelsSpec, schedule: Schedule) -> None:
    first, again = (law.draw(9, schedule, generator(5, "levels")) for _ in range(2))
    assert first.equal(again)
    assert not first.equal(law.draw(9, schedule, generator(6, "levels")))


def test_uniform_draws_are_those_of_trainings_before_there_were_laws(schedule: Schedule) -> None:
    found = Uniform().draw(16, schedule, generator(3, "step"))
    assert found.equal(torch.randint(1, 41, (16,), generator=generator(3, "step")))


def test_log_snr_is_normal_where_the_schedule_reaches_far_enough() -> None:
    """Of a fine schedule: mean, deviation, and the share below a level, all from the normal law itself."""
    schedule = SCHEDULES.parse({"kind": "cosine", "timesteps": 4000}).build()
    chances = LogNormal(center=1.5, spread=1.2, uniform_share=0).probabilities(schedule)
    log_snr = schedule.log_snr[1:]
    mean = float((chances * log_snr).sum())
    assert mean == pytest.approx(1.5, abs=0.01)
    assert math.sqrt(float((chances * (log_snr - mean).square()).sum())) == pytest.approx(1.2, abs=0.01)
    assert float(chances[log_snr < 1.5 - 1.2].sum()) == pytest.approx(stats.norm.cdf(-1), abs=0.002)


def test_the_law_is_of_log_snr_whatever_the_schedule() -> None:
    law = LogNormal(center=0.0, spread=1.0, uniform_share=0)
    shares = []
    for kind in ("linear", "cosine"):
        schedule = SCHEDULES.parse({"kind": kind}).build()
        shares.append(float(law.probabilities(schedule)[schedule.log_snr[1:] > 1].sum()))
    assert shares == pytest.approx([1 - stats.norm.cdf(1)] * 2, abs=0.005)  # half a level's width


def test_the_uniform_share_alone_reaches_pure_noise() -> None:
    schedule = SCHEDULES.parse({"kind": "linear", "terminal": "zero"}).build()
    assert float(LogNormal(uniform_share=0).probabilities(schedule)[-1]) == 0
    assert float(LogNormal(uniform_share=0.2).probabilities(schedule)[-1]) == pytest.approx(0.2 / 1000)


def test_a_law_outside_the_schedule_is_refused_with_its_range() -> None:
    schedule = SCHEDULES.parse({"kind": "linear"}).build()
    with pytest.raises(ConfigError, match=r"log-SNR -10.1 to 9.21, but center is 15 and spread 0.5"):
        LogNormal(center=15, spread=0.5).probabilities(schedule)
