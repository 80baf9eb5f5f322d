"""What a run's record is made of, and where it may go: nothing here knows MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Scalar:
    """One value of a metric at a step."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Params:
    """Settings, as text."""

    values: Mapping[str, str]


@dataclass(frozen=True)
class Tags:
    """Facts about the run, as text."""

    values: Mapping[str, str]


@dataclass(frozen=True)
class Picture:
    """A PNG file, shown as an image in the UI."""

    name: str
    path: Path


@dataclass(frozen=True)
class Artifact:
    """A file to keep with the run."""

    path: Path
    folder: str = ""


@dataclass(frozen=True)
class Document:
    """A mapping to keep with the run as JSON."""

    name: str
    value: Mapping[str, Any]


LogItem = Scalar | Params | Tags | Picture | Artifact | Document


@runtime_checkable
class Tracker(Protocol):
    """Where one run's record goes."""

    @property
    def run_id(self) -> str:
        """Name the run."""
        ...

    def log(self, item: LogItem) -> None:
        """Record one item; the same item twice is recorded once."""
        ...

    def finish(self, status: Status) -> None:
        """Close the record and say how the run ended."""
        ...


@dataclass
class MemoryTracker:
    """Keep the record in memory: the test double."""

    run_id: str = "memory"
    items: list[LogItem] = field(default_factory=list)
    status: Status | None = None

    def log(self, item: LogItem) -> None:
        """Append the item."""
        self.items.append(item)

    def finish(self, status: Status) -> None:
        """Remember how it ended."""
        self.status = status


@dataclass(frozen=True)
class RunRecord:
    """What a store holds of one run."""

    run_id: str
    name: str
    status: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
