"""A process' part in a study: what is asked, where its trials wait, and when it is to stop."""

import re
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sbldm.errors import ConfigError
from search.config import ExperimentConfig
from search.open_study import OpenStudy
from search.queue import TrialQueue
from search.study import Study
from search.tracking import MlflowStore

E = TypeVar("E")
UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, eq=False)
class Part:
    """A process' part in a study: what is asked, where its trials wait, and where they are tracked.

    Attributes:
        until: moment of the wall clock, in seconds since 1970, after which no trial is begun or gone on with.
    """

    study: Study | OpenStudy
    base: ExperimentConfig
    seeds: tuple[int, ...]
    home: Path
    name: str
    queue: TrialQueue
    store: MlflowStore
    parent: str
    until: float | None = None

    @property
    def draws(self) -> int | None:
        """Return how many draws a search has in all; None for a grid."""
        return self.study.trials if isinstance(self.study, OpenStudy) else None

    @property
    def is_late(self) -> bool:
        """Say whether the time is over."""
        return self.until is not None and time.time() >= self.until

    def left(self) -> int:
        """Return how many trials nobody has run or runs."""
        return self.queue.left(self.draws)

    def in_time(self, events: Generator[E, None, None]) -> Generator[E, None, None]:
        """Pass events on until the time is over; what is then closed commits its work."""
        with closing(events):
            for event in events:
                yield event
                if self.is_late:
                    return


def parse_duration(text: str) -> float:
    """Return the seconds that words such as ``2h30m``, ``45m`` or ``1d`` mean.

    Raises:
        ConfigError: it is no such word, or no time at all.
    """
    found = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip())
    parts = [int(part or 0) for part in found.groups()] if found else []
    seconds = sum(part * unit for part, unit in zip(parts, UNITS.values(), strict=False))
    if not seconds:
        raise ConfigError(f"timeout must be a duration above 0 such as 2h30m, 45m or 90s, but got {text!r}")
    return float(seconds)
