import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.testing import assert_close

from sbldm.diffusion.process import diffuse
from sbldm.diffusion.schedules import SCHEDULES, AnySchedule, Cosine, Gamma, Linear, Schedule, Terminal
from sbldm.spec import Spec

TERMINALS: tuple[Terminal, ...] = ("free", "match", "zero")
EVERY = [(kind, terminal) for kind in SCHEDULES.kinds() for terminal in TERMINALS]
LINEAR_END = 4.0358297653756754e-05  # prod(1 - linspace(1e-4, 0.02, 1000)) in float64


class Holder(Spec):
    schedule: AnySchedule


def build(kind: str, terminal: str, timesteps: int = 1000) -> Schedule:
    return SCHEDULES.parse({"kind": kind, "terminal": terminal, "timesteps": timesteps}).build()


@pytest.mark.parametrize("kind, terminal", EVERY)
def test_alpha_bar_starts_clean_and_falls(kind: str, terminal: str) -> None:
    schedule = build(kind, terminal)
    assert schedule.alpha_bar.dtype == torch.float64
    assert schedule.timesteps == 1000
    assert schedule.alpha_bar[0] == 1
    assert (schedule.alpha_bar.diff() < 0).all()
    assert schedule.alpha_bar[-1] >= 0


@pytest.mark.parametrize("kind, terminal", EVERY)
def test_betas_rebuild_alpha_bar(kind: str, terminal: str) -> None:
    schedule = build(kind, terminal)
    assert ((schedule.betas > 0) & (schedule.betas <= 1)).all()
    assert (schedule.betas[:-1] < 1).all()
    assert_close((1 - schedule.betas).cumprod(0), schedule.alpha_bar[1:], rtol=1e-10, atol=0)


@pytest.mark.parametrize("kind, terminal", EVERY)
def test_settings_survive_json_inside_another_spec(kind: str, terminal: str) -> None:
    holder = Holder.model_validate({"schedule": {"kind": kind, "terminal": terminal}})
    again = Holder.model_validate_json(holder.model_dump_json())
    assert again == holder
    assert again.digest() == holder.digest()
    assert torch.equal(again.schedule.build().alpha_bar, holder.schedule.build().alpha_bar)


@pytest.mark.parametrize("kind, terminal", EVERY)
def test_a_full_walk_of_levels_has_no_nan(kind: str, terminal: str) -> None:
    schedule = build(kind, terminal)
    t = torch.arange(schedule.timesteps + 1)
    clean, noise = torch.randn(2, len(t), 3, generator=torch.Generator().manual_seed(0))
    noisy = diffuse(clean, noise, t, schedule)
    assert torch.isfinite(noisy).all()
    assert torch.equal(noisy[0], clean[0])


@pytest.mark.parametrize("kind", SCHEDULES.kinds())
def test_terminal_decides_where_the_walk_ends(kind: str) -> None:
    assert build(kind, "zero").alpha_bar[-1] == 0
    assert build(kind, "zero").is_zero_terminal
    assert float(build(kind, "zero").alpha_bar[1]) == pytest.approx(float(build(kind, "free").alpha_bar[1]), rel=1e-12)
    assert not build(kind, "free").is_zero_terminal
    assert float(build(kind, "match").alpha_bar[-1]) == pytest.approx(LINEAR_END, rel=1e-9)


@pytest.mark.parametrize("kind", SCHEDULES.kinds())
def test_log_snr_is_the_logarithm_of_signal_over_noise(kind: str) -> None:
    schedule = build(kind, "free")
    assert schedule.snr[0] == math.inf
    assert_close(schedule.log_snr[1:].sigmoid(), schedule.alpha_bar[1:], rtol=1e-9, atol=0)


@pytest.mark.slow
def test_zero_terminal_agrees_with_diffusers() -> None:
    scheduling = pytest.importorskip("diffusers.schedulers.scheduling_ddim")
    free, zero = build("linear", "free"), build("linear", "zero")
    expected = 1 - scheduling.rescale_zero_terminal_snr(free.betas)
    assert_close(zero.alpha_bar[1:], expected.cumprod(0), rtol=1e-9, atol=1e-14)


def test_cosine_follows_its_formula() -> None:
    schedule = build("cosine", "free")
    for t in (1, 250, 500, 998):
        wave = [math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2 for u in (t / 1000, 0.0)]
        assert float(schedule.alpha_bar[t]) == pytest.approx(wave[0] / wave[1], rel=1e-9)
    assert float(schedule.betas[-1]) == pytest.approx(0.999)


# alpha_bar at the end, first entry of alpha_bar[1:] with SNR < 1, its entry 500, and the last beta that matches gamma 1
TABLE = [
    (0.5, 1.42e-6, 138, 0.0084, 0.01504),
    (1.0, 4.04e-5, 259, 0.078, 0.02),
    (2.0, 1.14e-3, 460, 0.413, 0.02987),
]


@pytest.mark.parametrize("gamma, last, crossing, middle, matched", TABLE)
def test_gamma_reproduces_the_published_table(
    gamma: float, last: float, crossing: int, middle: float, matched: float
) -> None:
    spec = Gamma(gamma=gamma)
    schedule = spec.build()
    assert float(schedule.alpha_bar[-1]) == pytest.approx(last, rel=4e-3)  # the table rounds to three digits
    assert int((schedule.snr[1:] < 1).nonzero()[0]) == crossing
    assert float(schedule.alpha_bar[1:][500]) == pytest.approx(middle, rel=6e-3)
    assert spec.matched_beta_end() == pytest.approx(matched, rel=4e-4)


@pytest.mark.parametrize("terminal", TERMINALS)
@given(start=st.floats(1e-6, 1e-3), end=st.floats(0.01, 0.05), timesteps=st.integers(800, 1200))
def test_gamma_one_is_linear_to_the_bit(terminal: Terminal, start: float, end: float, timesteps: int) -> None:
    settings = {"timesteps": timesteps, "terminal": terminal, "beta_start": start, "beta_end": end}
    assert torch.equal(Gamma(gamma=1, **settings).build().alpha_bar, Linear(**settings).build().alpha_bar)


@given(gamma=st.floats(0.2, 2.0), more=st.floats(0.01, 1.0))
def test_larger_gamma_keeps_more_signal_at_every_level(gamma: float, more: float) -> None:
    less, kept = Gamma(gamma=gamma).build().alpha_bar, Gamma(gamma=gamma + more).build().alpha_bar
    assert (kept[2:] > less[2:]).all()  # level 1 has beta_start whatever gamma is


@given(gamma=st.floats(0.05, 20))
def test_matched_gamma_ends_where_linear_ends(gamma: float) -> None:
    ends = float(Gamma(gamma=gamma, terminal="match").build().alpha_bar[-1])
    assert ends == pytest.approx(LINEAR_END, rel=1e-8)


@pytest.mark.parametrize(
    "settings, rule",
    [
        ({"kind": "gamma", "gamma": 0}, "greater than 0"),
        ({"kind": "gamma", "gamma": -1}, "greater than 0"),
        ({"kind": "gamma", "gamma": math.inf}, "finite"),
        ({"kind": "gamma", "gamma": math.nan}, "finite|greater than 0"),
        ({"kind": "gamma", "gamma": 10}, r"at most 0\.05, but it is 0\.146"),
        ({"kind": "linear", "timesteps": 100}, r"at most 0\.05, but it is 0\.364.*never becomes noise"),
        ({"kind": "linear", "beta_start": 0}, "greater than 0"),
        ({"kind": "linear", "beta_end": 1}, "less than 1"),
        ({"kind": "linear", "beta_start": 0.03}, "beta_start must not exceed beta_end"),
        ({"kind": "linear", "timesteps": 1}, "greater than or equal to 2"),
        ({"kind": "cosine", "timesteps": 100, "terminal": "half"}, "free"),
        ({"kind": "cosine", "gamma": 2}, "Extra inputs"),
    ],
)
def test_a_schedule_that_breaks_a_rule_is_refused_with_its_value(settings: dict[str, object], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        SCHEDULES.parse(settings)


@pytest.mark.parametrize("levels", [[1.0], [0.9, 0.1], [1.0, 0.5, 0.5], [1.0, 0.5, -0.1], [1.0, math.nan]])
def test_an_array_that_is_no_schedule_is_refused(levels: list[float]) -> None:
    with pytest.raises(ValueError, match="alpha_bar must"):
        Schedule(torch.tensor(levels, dtype=torch.float64))


def test_a_short_schedule_is_worked_out_by_hand() -> None:
    schedule = Linear(timesteps=3, beta_start=0.5, beta_end=0.9).build()
    assert_close(schedule.alpha_bar, torch.tensor([1.0, 0.5, 0.15, 0.015], dtype=torch.float64))
    assert_close(schedule.betas, torch.tensor([0.5, 0.7, 0.9], dtype=torch.float64))
    picked = schedule.at(torch.tensor([3, 0]), torch.zeros(2, 4, 5))
    assert_close(picked, torch.tensor([0.015, 1.0], dtype=torch.float64)[:, None, None])


def test_the_default_cosine_has_enough_noise_at_any_length() -> None:
    assert all(Cosine(timesteps=steps).build().alpha_bar[-1] < 1e-3 for steps in (2, 20, 1000))
