"""How long an experiment would train on this CPU, before anything is read: operations over the measured speed."""

import math
import time
from dataclasses import dataclass

import torch

from sbldm.errors import ConfigError
from sbldm.spec import digest_of
from search.config import ExperimentConfig
from search.dry_run import DryRun, dry_run
from search.reproduction.planned import Planned
from search.runner import plan
from search.studies import find_study

SHARE = 0.5
"""Of the speed of a matrix product that a training reaches on a CPU (docs/performance.md: 48 to 75 % for one call)."""
SIDE, REPEATS = 768, 5
ROOM = 1.5  # the speed of a busy machine is measured anew each time
FREE = ("sampler", "evaluation")  # settings that train nothing


@dataclass(frozen=True)
class Foretold:
    """What an experiment would take.

    Attributes:
        told: parameters, operations and memory of both stages.
        trains: stages that are trained.
        networks: trainings of the network, at most.
        hours: on this CPU, from nothing; None on a GPU, whose speed a matrix product does not tell.
    """

    told: DryRun
    trains: tuple[str, ...]
    networks: int
    hours: float | None

    def lines(self) -> list[str]:
        """Return what a person reads."""
        trained = f"trains {' and '.join(self.trains)}" + (f", {self.networks} networks" if self.networks > 1 else "")
        time_needed = "" if self.hours is None else f"; about {say_hours(self.hours)} of training on this CPU"
        return [*self.told.lines()[:-1], f"{trained}{time_needed}"]


def foretell(planned: Planned, config: ExperimentConfig, *, seeds: int) -> Foretold:
    """Return what an experiment would take, from its settings alone.

    Raises:
        ResourceError: a stage cannot fit into memory.
    """
    told, networks = dry_run(config), count_networks(planned, config, seeds)
    by_stage = {"autoencoder": told.stages[0], "network": told.stages[1]}
    times = {"autoencoder": 1, "network": networks}
    operations = sum(times[each] * by_stage[each].step_flops * by_stage[each].steps for each in planned.trains)
    hours = operations / (SHARE * measure_speed()) / 3600 if told.device == "cpu" else None
    return Foretold(told, planned.trains, networks if "network" in planned.trains else 0, hours)


def check_hours(planned: Planned, foretold: Foretold, most: float) -> None:
    """Refuse what would take too long.

    Raises:
        ConfigError: it would.
    """
    if foretold.hours is not None and foretold.hours > most:
        raise ConfigError(
            f"{planned.name} takes about {say_hours(foretold.hours)} of training on this CPU, above --max-hours"
            f" {most:g}; run it on a GPU, give it less (--preset quick), or allow it with --max-hours"
            f" {math.ceil(ROOM * foretold.hours)}"
        )


def say_hours(hours: float) -> str:
    """Return a duration in the unit that suits it."""
    return f"{hours:.3g} h" if hours >= 1 else f"{60 * hours:.2g} min"


def count_networks(planned: Planned, config: ExperimentConfig, seeds: int) -> int:
    """Return how many networks an experiment trains at most: settings of the sampler alone share one."""
    if not planned.study:
        return 1
    trials = plan(find_study(planned.study), config, range(seeds))
    return len({digest_of({**each.config.public(), **dict.fromkeys(FREE)}) for each in trials})


def measure_speed() -> float:
    """Return operations per second of a matrix product on this CPU, the best of a few."""
    side = torch.ones(SIDE, SIDE)
    best = math.inf
    for _ in range(REPEATS):
        started = time.perf_counter()
        torch.mm(side, side)
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE**3 / best
