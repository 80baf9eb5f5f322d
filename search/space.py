"""Ranges of settings: what a search may draw, and how a draw becomes changes by dotted path."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sbldm.errors import ConfigError
from sbldm.spec import did_you_mean
from search.study import label_value

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


@dataclass(frozen=True)
class Uniform:
    """Every number from ``low`` to ``high`` alike; whole numbers where both ends are."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends(self.low, self.high)


@dataclass(frozen=True)
class LogUniform:
    """Numbers from ``low`` to ``high`` whose logarithm is uniform: each doubling alike; both ends above 0."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends(self.low, self.high)
        if self.low <= 0:
            raise ConfigError(f"a range on a log scale must lie above 0, but got [{self.low}, {self.high}]")


@dataclass(frozen=True)
class Choice:
    """One of several values, among which there is no order; a mapping replaces a whole section."""

    values: tuple[Any, ...]

    def labels(self, path: str) -> tuple[str, ...]:
        """Return what each value is called."""
        return tuple(label_value(path, value) for value in self.values)

    def __post_init__(self) -> None:
        labels = self.labels("value")
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise ConfigError(f"a choice needs two distinct values or more, but got {list(self.values)}")


Range = Uniform | LogUniform | Choice
NAMES: dict[str, type[Uniform] | type[LogUniform]] = {"uniform": Uniform, "log": LogUniform}


def suggest(trial: "BaseTrial", ranges: Mapping[str, Range]) -> dict[str, Any]:
    """Return changes by dotted path, each drawn from its range by the trial."""
    return {path: _suggest(trial, path, each) for path, each in ranges.items()}


def changes_of(params: Mapping[str, Any], ranges: Mapping[str, Range]) -> dict[str, Any]:
    """Return the changes that the stored parameters of a trial stand for."""
    return {
        path: each.values[each.labels(path).index(params[path])] if isinstance(each, Choice) else params[path]
        for path, each in ranges.items()
    }


def label_draw(changes: Mapping[str, Any]) -> str:
    """Return a draw as people read it, numbers to three digits."""
    shown = {path: float(f"{value:.3g}") if isinstance(value, float) else value for path, value in changes.items()}
    return " ".join(label_value(path, value) for path, value in shown.items())


def parse_range(path: str, value: Any) -> Range:
    """Return the range that a file writes as ``{uniform: [low, high]}``, ``{log: [low, high]}`` or ``{choice: [...]}``.

    Raises:
        ConfigError: it is none of them, or its ends are in disorder.
    """
    known = (*NAMES, "choice")
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ConfigError(f"range {path} must be one of {', '.join(known)} with its values, but got {value!r}")
    ((kind, values),) = value.items()
    if kind not in known:
        raise ConfigError(f"range {path}: unknown {kind!r}{did_you_mean(str(kind), known)}; known: {', '.join(known)}")
    if not isinstance(values, list):
        raise ConfigError(f"range {path}: {kind} must be a list, but got {values!r}")
    if kind == "choice":
        return Choice(tuple(values))
    if len(values) != 2 or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in values):
        raise ConfigError(f"range {path}: {kind} must have two numbers as ends, but got {values!r}")
    return NAMES[kind](*values)


def write_range(each: Range) -> dict[str, list[Any]]:
    """Return a range as ``parse_range`` reads it."""
    if isinstance(each, Choice):
        return {"choice": list(each.values)}
    return {next(name for name, kind in NAMES.items() if kind is type(each)): [each.low, each.high]}


def _suggest(trial: "BaseTrial", path: str, each: Range) -> Any:
    if isinstance(each, Choice):
        label = trial.suggest_categorical(path, each.labels(path))
        return each.values[each.labels(path).index(label)]
    log = isinstance(each, LogUniform)
    if isinstance(each.low, int) and isinstance(each.high, int):
        return trial.suggest_int(path, each.low, each.high, log=log)
    return trial.suggest_float(path, each.low, each.high, log=log)


def _check_ends(low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"a range must have finite ends, the lower first, but got [{low}, {high}]")
