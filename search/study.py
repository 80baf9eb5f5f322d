"""A study: one question, asked by changing settings of one base experiment."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sbldm.errors import RunError
from sbldm.spec import did_you_mean, digest_of


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


def find_study(name: str) -> Study:
    """Return the study of this name, or say which there are."""
    if name not in STUDIES:
        raise RunError(f"no study {name!r}{did_you_mean(name, list(STUDIES))}; known: {', '.join(STUDIES)}")
    return STUDIES[name]


def _cell(changes: dict[str, Any]) -> Cell:
    return Cell(" ".join(_label(path, value) for path, value in changes.items()), changes)


def _label(path: str, value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"{path}={_short(value)}"
    return " ".join(f"{key}={_short(part)}" for key, part in value.items() if key != "kind") or str(value["kind"])


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
