import pytest
import torch
from torch import Tensor, nn

from sbldm.diffusion.schedules.cosine import Cosine
from sbldm.training import TrainingSpec, ValidationSet, plan_watch
from sbldm.training.watch import FEWEST, SHARE

SCHEDULE = Cosine(timesteps=200).build()
RANGES = 8  # of log-SNR


def part(count: int, patients: int = 4) -> ValidationSet:
    draws = torch.Generator().manual_seed(0)
    latents = torch.randn(count, 2, 4, 4, generator=draws)
    return ValidationSet(latents, torch.zeros(count, 2), torch.arange(count) * patients // count)


class Silent(nn.Module):
    """Predict a clean latent of zeros: its clean error is the mean square of the latents, about 1, at every level."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, noisy: Tensor, t: Tensor, cues: Tensor) -> Tensor:
        return noisy * self.weight


@pytest.mark.parametrize("steps, batch", [(1000, 16), (400, 8), (12000, 16), (200, 16)])
def test_all_looks_together_take_less_than_their_share(steps: int, batch: int) -> None:
    watch = plan_watch(part(5000), TrainingSpec(steps=steps, batch=batch), SCHEDULE, "x0")
    passes = len(watch.due) * len(watch.part.latents) * RANGES
    assert passes <= SHARE * 3 * steps * batch
    assert SHARE < 0.03
    assert max(watch.due) == steps


def test_a_training_too_short_for_it_is_looked_at_once_on_few_slices() -> None:
    watch = plan_watch(part(5000), TrainingSpec(steps=6, batch=4), SCHEDULE, "x0")
    assert watch.due == {6}
    assert len(watch.part.latents) == FEWEST


def test_looks_are_evenly_spread_and_none_are_taken_where_none_are_wanted() -> None:
    spec = TrainingSpec(steps=1000, batch=64)
    assert plan_watch(part(64), spec, SCHEDULE, "x0").due == {200, 400, 600, 800, 1000}
    silent = TrainingSpec(steps=1000, batch=64, validations=0)
    assert not plan_watch(part(64), silent, SCHEDULE, "x0").due


def test_fewer_slices_still_show_every_patient() -> None:
    whole = part(64, patients=8)
    some = whole.spread(11)
    assert len(some.latents) == len(some.cues) == len(some.patients) == 11
    assert set(some.patients.tolist()) == set(range(8))
    assert torch.equal(some.latents[0], whole.latents[0])
    assert whole.spread(64) is whole


def test_a_network_that_guesses_zero_errs_by_the_mean_square_in_every_range() -> None:
    watch = plan_watch(part(40), TrainingSpec(steps=1000, batch=64), SCHEDULE, "x0")
    found = watch.measure(Silent(), "diffusion", 200, 1000)
    expected = float(watch.part.latents.double().square().mean())
    assert (found.stage, found.step, found.steps) == ("diffusion", 200, 1000)
    assert set(found.losses) >= {"validation/loss_snr_-2_0", "validation/loss_snr_0_2", "validation/loss_snr_6_10"}
    for loss in found.losses.values():
        assert loss.point == pytest.approx(expected, rel=1e-6)
        assert loss.low < loss.point < loss.high
        assert loss.patients == 4
    numbers = found.numbers()
    assert numbers["validation/loss_snr_0_2_low"] == found.losses["validation/loss_snr_0_2"].low


def test_one_patient_gives_a_loss_without_interval() -> None:
    watch = plan_watch(part(20, patients=1), TrainingSpec(steps=1000, batch=64), SCHEDULE, "x0")
    numbers = watch.measure(Silent(), "diffusion", 1000, 1000).numbers()
    assert "validation/loss_snr_0_2" in numbers
    assert not [name for name in numbers if name.endswith(("_low", "_high"))]
