"""What the workers of a study agree by: one of them at a time, and a lock on each trial that dies with its worker."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from search.locks import holding, try_hold


@runtime_checkable
class StudyLocks(Protocol):
    """Locks of one study, which are free again when their holder is dead."""

    def mutex(self) -> AbstractContextManager[None]:
        """Wait until no other worker is in such a block, and run it; not to be nested."""

    def try_trial(self, number: int) -> Callable[[], None] | None:
        """Take the lock of a trial and return what frees it, or return None where it is held, by whomever."""


@dataclass(frozen=True)
class FileLocks:
    """Locks of workers on one machine: files below one folder, freed by the kernel."""

    folder: Path

    def mutex(self) -> AbstractContextManager[None]:
        """Hold the study's own file."""
        return holding(self.folder / "study.lock")

    def try_trial(self, number: int) -> Callable[[], None] | None:
        """Hold a file of the trial's own."""
        descriptor = try_hold(self.folder / f"trial-{number}.lock")
        return None if descriptor is None else lambda: os.close(descriptor)
