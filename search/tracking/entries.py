"""What a store is told of a run, each with its moment, and its form as a line of a journal."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from search.tracking.items import Artifact, Document, LogItem, Params, Picture, Scalar, Status, Tags


@dataclass(frozen=True)
class Start:
    """A run begins that the store has not heard of; its ``sbldm.uid`` tells it from all others."""

    name: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Reopen:
    """A run goes on, whether or not it had ended."""


@dataclass(frozen=True)
class Finish:
    """A run ends."""

    status: Status


@dataclass(frozen=True)
class Abandon:
    """The process of a run is gone: a run that still seems to run has ended, by whether its results are there."""


Told = LogItem | Start | Reopen | Finish | Abandon
KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (Scalar, Params, Tags, Picture, Artifact, Document, Start, Reopen, Finish, Abandon)
}


@dataclass(frozen=True)
class Entry:
    """One thing to tell of a run; ``at`` is when it happened, in milliseconds since 1970, however late it is told."""

    run_id: str
    what: Told
    at: int = field(default_factory=lambda: int(time.time() * 1000))

    def to_line(self) -> str:
        """Return the entry as one line of JSON; ``from_line`` undoes it."""
        value = {"run": self.run_id, "at": self.at, "kind": type(self.what).__name__, "value": asdict(self.what)}
        return json.dumps(value, default=str) + "\n"

    @staticmethod
    def from_line(line: str) -> "Entry":
        """Rebuild what ``to_line`` wrote."""
        value = json.loads(line)
        fields = value["value"]
        if "path" in fields:
            fields["path"] = Path(fields["path"])
        return Entry(value["run"], KINDS[value["kind"]](**fields), value["at"])
