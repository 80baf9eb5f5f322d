"""What the cache holds, and which runs name it."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from evaluation import Table
from search.cache import MANIFEST, Cache, Entry
from search.locks import try_hold
from search.tracking import RunRecord

State = Literal["whole", "broken", "unfinished"]
LOCK = ".lock"
NAMED_BY = {
    "data": ("sbldm.data_entry",),
    "autoencoder": ("sbldm.autoencoder",),
    "latents": ("sbldm.autoencoder",),
    "diffusion": ("sbldm.network",),
}
"""Tags of a run that name its entry of a stage; of other stages a run does not say which entry it read."""
RUN_ID_LETTERS = 8


@dataclass(frozen=True)
class Kept:
    """One entry on the shelf.

    Attributes:
        stage: that made it.
        digest: of all that made it.
        state: whole; broken, if a file is not what it was; unfinished, if it was never declared whole.
        bytes: of its files.
        age_seconds: since its newest file was written.
        is_held: a process works at it.
        runs: ids of the runs that name it; None where that is unknown.
    """

    stage: str
    digest: str
    state: State
    bytes: int
    age_seconds: float
    is_held: bool
    runs: tuple[str, ...] | None


@dataclass(frozen=True)
class Shelf:
    """All entries of a cache, by stage, oldest first."""

    entries: tuple[Kept, ...]

    def table(self) -> Table:
        """Return what a person reads."""
        return Table(
            title="Stage outputs in the cache",
            header=("stage", "entry", "state", "size", "age", "runs"),
            rows=tuple(_row(each) for each in self.entries),
            caption=f"{len(self.entries)} entries, {format_bytes(sum(each.bytes for each in self.entries))}.",
        )

    def to_json(self) -> dict[str, Any]:
        """Return every entry as JSON values."""
        return {"entries": [asdict(each) for each in self.entries]}


def list_shelf(cache: Cache, runs: Sequence[RunRecord] | None) -> Shelf:
    """Return what the cache holds; whole entries are read to their last byte to know that they are.

    Args:
        cache: the folder.
        runs: all that are tracked; None where no tracker can be asked.
    """
    users = None if runs is None else _users(runs)
    found = [_look(path, users) for path in _folders(cache)]
    return Shelf(tuple(sorted(found, key=lambda each: (each.stage, -each.age_seconds, each.digest))))


def find_state(folder: Path) -> State:
    """Return whether an entry is as it was declared, no longer is, or never was."""
    if not (folder / MANIFEST).exists():
        return "unfinished"
    return "whole" if Entry(folder).meta() is not None else "broken"


def format_bytes(count: float) -> str:
    """Return a size in words.

    >>> format_bytes(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _look(folder: Path, users: Mapping[tuple[str, str], tuple[str, ...]] | None) -> Kept:
    stage, digest = folder.parent.name, folder.name
    descriptor = try_hold(folder / LOCK) if (folder / LOCK).exists() else -1
    if descriptor is not None and descriptor >= 0:
        os.close(descriptor)
    size, newest = _measure(folder)
    runs = None if users is None or stage not in NAMED_BY else users.get((stage, digest), ())
    return Kept(stage, digest, find_state(folder), size, max(0.0, time.time() - newest), descriptor is None, runs)


def _measure(folder: Path) -> tuple[int, float]:
    """Return the bytes of all files below, and when the newest was written; the lock is no content."""
    total, newest = 0, folder.stat().st_mtime
    for path in folder.rglob("*"):
        if path.is_file() and path.name != LOCK:
            found = path.lstat()
            total, newest = total + found.st_size, max(newest, found.st_mtime)
    return total, newest


def _users(runs: Sequence[RunRecord]) -> dict[tuple[str, str], tuple[str, ...]]:
    users: dict[tuple[str, str], tuple[str, ...]] = {}
    for run in runs:
        for stage, tags in NAMED_BY.items():
            for digest in {run.tags[tag] for tag in tags if tag in run.tags}:
                users[stage, digest] = (*users.get((stage, digest), ()), run.run_id)
    return users


def _folders(cache: Cache) -> Iterator[Path]:
    for stage in sorted(cache.root.iterdir()) if cache.root.is_dir() else ():
        if stage.is_dir() and not stage.is_symlink():
            yield from (path for path in sorted(stage.iterdir()) if path.is_dir() and not path.is_symlink())


def _row(kept: Kept) -> tuple[str, ...]:
    named = "unknown" if kept.runs is None else " ".join(each[:RUN_ID_LETTERS] for each in kept.runs) or "none"
    state = f"{kept.state}, in use" if kept.is_held else kept.state
    days = kept.age_seconds / 86400
    age = f"{days:.1f} d" if days >= 1 else f"{kept.age_seconds / 3600:.1f} h"
    return (kept.stage, kept.digest, state, format_bytes(kept.bytes), age, named)
