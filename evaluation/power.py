"""How much is enough: the difference that so many patients, samples and seeds resolve, and what a wanted one needs.

The error of a difference has three parts, each with its own remedy: V_patient / patients + V_sample /
(samples x seeds) + V_seed / seeds. A difference is resolved with the wanted power where it is at least
(t_{1 - alpha/2} + t_{power}) x error (Chow, Shao & Wang 2008, "Sample Size Calculations in Clinical
Research", section 3.2, with the t of the error's own degrees of freedom).
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from scipy import special

from evaluation.intervals import StandardError, check_level, combine_errors
from evaluation.variances import Variances

What = Literal["patients", "samples", "seeds"]
PARTS: tuple[What, ...] = ("patients", "samples", "seeds")
FEWEST = 2
MOST = 2**23


@dataclass(frozen=True)
class Budget:
    """How many patients are in the reference, samples are drawn of each training, and trainings are made."""

    patients: int
    samples: int
    seeds: int = 1

    def __post_init__(self) -> None:
        if self.patients < FEWEST or self.samples < FEWEST or self.seeds < 1:
            raise ValueError(f"a plan needs 2 patients, 2 samples and 1 seed or more, but got {self}")


@dataclass(frozen=True)
class Need:
    """The smallest count that resolves a difference while the others stay; None where none does.

    Attributes:
        limit: the smallest difference that any count of this alone resolves.
    """

    what: What
    now: int
    needed: int | None
    limit: float


@dataclass(frozen=True)
class Plan:
    """What a budget resolves, which part of the error that is due to, and what a wanted difference needs.

    Attributes:
        shares: of the variance, by count; without seeds where a single training was seen.
    """

    budget: Budget
    level: float
    power: float
    resolvable: float
    shares: dict[What, float]
    bottleneck: What
    wanted: float | None
    needs: tuple[Need, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a mapping that strict JSON can hold."""
        return asdict(self) | {
            "resolvable": _plain(self.resolvable),
            "needs": [asdict(need) | {"limit": _plain(need.limit)} for need in self.needs],
        }


def resolvable_difference(variances: Variances, budget: Budget, *, level: float = 0.95, power: float = 0.8) -> float:
    """Return the smallest true difference that this budget finds with this power.

    Where seeds differ, two trainings at least are needed to know: one alone resolves nothing.
    """
    check_level(level)
    if not 0.5 <= power < 1:
        raise ValueError(f"power must lie in [0.5, 1), but got {power=}")
    error = planned_error(variances, budget)
    if error.freedom <= 0:
        return math.inf
    reach = special.stdtrit(error.freedom, 0.5 + level / 2) + special.stdtrit(error.freedom, power)
    return float(reach * error.value)


def planned_error(variances: Variances, budget: Budget) -> StandardError:
    """Return the error to be expected; seeds average samples out, but not the patients that all share."""
    drawn = budget.samples * budget.seeds
    error = combine_errors(
        StandardError(math.sqrt(variances.patient / budget.patients), budget.patients - 1.0),
        StandardError(math.sqrt(variances.sample / drawn), drawn - 1.0),
    )
    if variances.seed:
        if budget.seeds < FEWEST:
            return StandardError(math.inf, 0.0)
        error = combine_errors(error, StandardError(math.sqrt(variances.seed / budget.seeds), budget.seeds - 1.0))
    return StandardError(math.sqrt(error.value**2 + variances.fixed), error.freedom)


def needed(
    difference: float, variances: Variances, budget: Budget, *, level: float = 0.95, power: float = 0.8
) -> tuple[Need, ...]:
    """Return for patients, samples and seeds the smallest count that resolves a difference, the others unchanged."""
    if not 0 < difference < math.inf:
        raise ValueError(f"the difference must be finite and above 0, but got {difference=}")

    whats = [what for what in PARTS if what != "seeds" or variances.seed is not None]
    return tuple(_need(what, difference, variances, budget, level, power) for what in whats)


def _need(what: What, difference: float, variances: Variances, budget: Budget, level: float, power: float) -> Need:
    def resolved(count: int) -> float:
        return resolvable_difference(variances, replace(budget, **{what: count}), level=level, power=power)

    low = 1 if what == "seeds" else FEWEST
    counts = [low * 2**power_of_two for power_of_two in range(int(math.log2(MOST)))]
    found = [resolved(count) for count in counts]
    return Need(what, getattr(budget, what), _smallest(resolved, difference, counts, found), min(found))


def plan(
    variances: Variances, budget: Budget, *, wanted: float | None = None, level: float = 0.95, power: float = 0.8
) -> Plan:
    """Return what the budget resolves, the part of the error that is largest, and what a wanted difference needs."""
    drawn = budget.samples * budget.seeds
    parts: dict[What, float] = {
        "patients": variances.patient / budget.patients,
        "samples": variances.sample / drawn,
    }
    if variances.seed is not None:
        parts["seeds"] = variances.seed / budget.seeds
    total = sum(parts.values())
    return Plan(
        budget=budget,
        level=level,
        power=power,
        resolvable=resolvable_difference(variances, budget, level=level, power=power),
        shares={name: part / total if total else 0.0 for name, part in parts.items()},
        bottleneck=max(parts, key=lambda name: parts[name]),
        wanted=wanted,
        needs=() if wanted is None else needed(wanted, variances, budget, level=level, power=power),
    )


def _smallest(resolved: Callable[[int], float], difference: float, counts: list[int], found: list[float]) -> int | None:
    """Return the smallest count that resolves the difference: doubled until it does, then halved in between.

    Where few patients or seeds remain the largest part, more of another may cost degrees of freedom and resolve
    less again, so that halving over the whole range would go astray.
    """
    first = next((index for index, each in enumerate(found) if each <= difference), None)
    if first is None:
        return None
    low, high = (counts[first - 1] + 1 if first else counts[0]), counts[first]
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if resolved(middle) <= difference else (middle + 1, high)
    return low


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
