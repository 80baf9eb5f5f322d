"""A study: one question, asked by changing settings of one base experiment."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sbldm.errors import ConfigError
from sbldm.spec import digest_of


@dataclass(frozen=True)
class Cell:
    """One setting of a study: what it changes, and how people call it."""

    label: str
    changes: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Return a digest of the changes: two cells are the same if they change the same to the same."""
        return digest_of(dict(self.changes))


@dataclass(frozen=True)
class Study:
    """One question and the grid of settings that answers it.

    Attributes:
        name: how the command line calls it.
        question: what the table will answer.
        axes: values by dotted path; a mapping as value replaces a whole section.
        baseline: label of the cell that all others are compared with.
        base: changes that all cells share.
        run_time: what to expect of the quick preset on two CPU cores.
    """

    name: str
    question: str
    axes: Mapping[str, tuple[Any, ...]]
    baseline: str
    run_time: str
    base: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a grid with two cells of one name, or without its baseline."""
        labels = [cell.label for cell in self.cells()]
        if len(set(labels)) < len(labels):
            raise ValueError(f"the cells of a study need distinct labels, but got {labels}")
        if self.baseline not in labels:
            raise ValueError(f"the baseline must be one of {labels}, but got {self.baseline!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the study as JSON can hold it; ``from_json`` undoes it.

        Raises:
            ConfigError: a value does not come back from JSON as it was, so that its cell would have another name.
        """
        value = {item.name: getattr(self, item.name) for item in fields(self)}
        changes = [dict(cell.changes) for cell in self.cells()]
        if json.loads(json.dumps(changes, default=str)) != changes:
            raise ConfigError(f"study {self.name}: its values must be plain numbers, words and lists")
        return {**value, "axes": {path: list(each) for path, each in self.axes.items()}}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Study":
        """Rebuild what ``to_json`` wrote."""
        return Study(**{**value, "axes": {path: tuple(each) for path, each in value["axes"].items()}})

    def cells(self) -> tuple[Cell, ...]:
        """Return every combination of the axes' values, the last axis changing fastest."""
        combinations = itertools.product(*self.axes.values())
        return tuple(_cell(dict(zip(self.axes, values, strict=True))) for values in combinations)


STUDIES: dict[str, Study] = {}


def register(study: Study) -> Study:
    """Add a study under its name, which is given once."""
    if study.name in STUDIES:
        raise ValueError(f"study names are unique, but {study.name!r} is registered already")
    STUDIES[study.name] = study
    return study


def _cell(changes: dict[str, Any]) -> Cell:
    return Cell(label_cell(changes), changes)


def label_cell(changes: Mapping[str, Any]) -> str:
    """Return how people call a cell: each of its settings, in order."""
    return " ".join(label_value(path, value) for path, value in changes.items())


def label_value(path: str, value: Any) -> str:
    """Return how people call one setting: a section by its parts, or by its kind where it has no others."""
    if not isinstance(value, Mapping):
        return f"{path}={label_part(value)}"
    return " ".join(f"{key}={label_part(part)}" for key, part in value.items() if key != "kind") or str(value["kind"])


def label_part(value: Any) -> str:
    """Return how people write one value."""
    if isinstance(value, list | tuple):
        return ",".join(label_part(part) for part in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
