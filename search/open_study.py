"""A search: one question asked over ranges, where earlier trials decide what is tried next."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, get_args

from sbldm.errors import ConfigError, DivergedError, RunError
from sbldm.spec import did_you_mean, digest_of
from search.space import Range, parse_range, write_range

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from search.events import ExperimentResult

SamplerName = Literal["tpe", "nsga2", "gp"]
Goal = Literal["minimize", "maximize"]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
GOALS: tuple[Goal, ...] = get_args(Goal)
COPIES = "constraint/copies_pixel"
FAIR = ("selection/", "cost/")


@dataclass(frozen=True)
class OpenStudy:
    """One question and the ranges in which its answer is searched.

    Attributes:
        name: how the command line calls it.
        question: what the front will answer.
        ranges: by dotted path.
        run_time: what to expect of the quick preset on two CPU cores.
        base: changes that all trials share.
        trials: draws in all.
        sampler: what draws: tpe, nsga2 or gp.
        objectives: tracked numbers and what to do with them; a name may leave out its extractor, as selection/fd does.
            None may be of the test patients, whose numbers would then be too good, or a loss.
        constraints: tracked numbers that must not be above 0; a trial above breaks them, however good.
        prune: p-value below which the seeds run so far say that a draw is beaten; its other seeds are left out then.
            0 for never. It takes three seeds for 0.2, four for 0.1.
    """

    name: str
    question: str
    ranges: Mapping[str, Range]
    run_time: str
    base: Mapping[str, Any] = field(default_factory=dict)
    trials: int = 30
    sampler: SamplerName = "tpe"
    objectives: Mapping[str, Goal] = field(default_factory=lambda: {"selection/fd": "minimize"})
    constraints: tuple[str, ...] = (COPIES,)
    prune: float = 0.2

    def __post_init__(self) -> None:
        """Refuse a search without ranges, objectives or a known sampler."""
        if not self.ranges or not self.objectives:
            raise ConfigError(f"study {self.name}: a search needs a range and an objective, but got none")
        if not isinstance(self.trials, int) or isinstance(self.trials, bool) or self.trials < 1:
            raise ConfigError(f"trials must be a whole number of at least 1, but got {self.trials!r}")
        _check_word("sampler", self.sampler, SAMPLERS)
        for name, goal in self.objectives.items():
            _check_word("an objective", goal, GOALS)
            if not name.startswith(FAIR):
                raise ConfigError(
                    f"an objective must begin with one of {', '.join(FAIR)}, for test patients and losses may not"
                    f" choose, but got {name!r}; the distance to validation patients is selection/fd"
                )
        if isinstance(self.prune, bool) or not isinstance(self.prune, int | float) or not 0 <= self.prune < 0.5:
            raise ConfigError(f"prune must be a p-value in [0, 0.5), but got {self.prune!r}")
        if isinstance(self.constraints, str):
            raise ConfigError(f"constraints must be a list of tracked numbers, but got {self.constraints!r}")
        object.__setattr__(self, "constraints", tuple(self.constraints))

    def to_json(self) -> dict[str, Any]:
        """Return the search as JSON can hold it; ``from_json`` undoes it."""
        return {
            "name": self.name,
            "question": self.question,
            "ranges": {path: write_range(each) for path, each in self.ranges.items()},
            "run_time": self.run_time,
            "base": dict(self.base),
            "trials": self.trials,
            "sampler": self.sampler,
            "objectives": dict(self.objectives),
            "constraints": list(self.constraints),
            "prune": self.prune,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "OpenStudy":
        """Rebuild what ``to_json`` wrote."""
        ranges = {path: parse_range(path, each) for path, each in value["ranges"].items()}
        return OpenStudy(**{**value, "ranges": ranges})


OPEN_STUDIES: dict[str, OpenStudy] = {}


def register_open(study: OpenStudy) -> OpenStudy:
    """Add a search under its name, which is given once."""
    if study.name in OPEN_STUDIES:
        raise ValueError(f"study names are unique, but {study.name!r} is registered already")
    OPEN_STUDIES[study.name] = study
    return study


def objective_values(study: OpenStudy, results: Sequence["ExperimentResult"]) -> tuple[float, ...]:
    """Return one value per objective: its mean over the seeds that a draw was run with."""
    return tuple(fmean(_number(name, result) for result in results) for name in study.objectives)


def constraint_values(study: OpenStudy, results: Sequence["ExperimentResult"]) -> tuple[float, ...]:
    """Return one value per constraint, the worst over seeds: kept where it is 0 or less.

    A number that a run cannot have, as copies with fewer than three training patients, is refused: what was not
    looked for is not absent.
    """
    return tuple(max(_number(name, result) for result in results) for name in study.constraints)


def make_sampler(study: OpenStudy, *, seed: int, drawn: int) -> "BaseSampler":
    """Return what draws the next trial; made anew for each, so that no two workers draw from one stream.

    Args:
        study: names the sampler.
        seed: of the whole search.
        drawn: trials that have been drawn before, in all processes.
    """
    from optuna.samplers import GPSampler, NSGAIISampler, TPESampler

    own = int(digest_of([study.name, seed, drawn])[:8], 16)
    if study.sampler == "nsga2":
        return NSGAIISampler(seed=own, population_size=max(2, min(50, study.trials // 4)))
    if study.sampler == "gp":
        return GPSampler(seed=own)
    return TPESampler(seed=own, multivariate=True)


def shorten(study: OpenStudy, trials: int | None) -> OpenStudy:
    """Return the search with another number of trials, or as it is."""
    return study if trials is None else replace(study, trials=trials)


def find_number(name: str, points: Mapping[str, float]) -> float:
    """Return the number of this name, or else the first whose name it begins.

    Raises:
        RunError: there is none.
    """
    found = [key for key in points if key == name or key.startswith(f"{name}_")]
    if not found:
        raise RunError(f"a search needs the number {name!r}, but the run holds none{did_you_mean(name, list(points))}")
    return points[name if name in points else found[0]]


def _number(name: str, result: "ExperimentResult") -> float:
    points = {key: each.point for key, each in result.results.items()} | result.numbers
    value = find_number(name, points)
    if not math.isfinite(value):
        raise DivergedError(f"{name} must be finite for a search to go by it, but it is {value}")
    return value


def _check_word(what: str, word: object, known: tuple[str, ...]) -> None:
    if word not in known:
        raise ConfigError(f"{what} must be one of {', '.join(known)}, but got {word!r}")
