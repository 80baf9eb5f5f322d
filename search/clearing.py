"""Make room in the cache; an entry whose lock is held is never touched."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sbldm.errors import ResourceError, RunError
from search.cache import MANIFEST, Cache
from search.locks import try_hold
from search.shelf import LOCK, RUN_ID_LETTERS, Kept, State, find_state, format_bytes, list_shelf
from search.tracking import RunRecord

KIND = "sbldm.kind"


@dataclass(frozen=True)
class Cleared:
    """What has gone, or with ``is_dry`` what would."""

    entries: tuple[Kept, ...]
    is_dry: bool

    @property
    def bytes(self) -> int:
        """Return the bytes that are free now, or would be."""
        return sum(each.bytes for each in self.entries)

    def lines(self) -> list[str]:
        """Return what a person reads."""
        told = [f"{each.stage}/{each.digest}  {each.state}  {format_bytes(each.bytes)}" for each in self.entries]
        verb = "would free" if self.is_dry else "freed"
        return [*told, f"{verb} {format_bytes(self.bytes)} ({self.bytes} bytes) in {len(self.entries)} entries"]

    def to_json(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        return {"dry_run": self.is_dry, "bytes": self.bytes, "entries": [asdict(each) for each in self.entries]}


def clear_shelf(
    cache: Cache,
    runs: Sequence[RunRecord] | None,
    *,
    older_than_seconds: float | None,
    unused: bool,
    dry_run: bool,
) -> Cleared:
    """Remove broken and unfinished entries that nobody works at, and whole ones where both conditions, if given, hold.

    Args:
        cache: the folder.
        runs: all that are tracked; None where no tracker can be asked.
        older_than_seconds: whole entries go only from this age on; None for any age.
        unused: whole entries go only if it is known that no run names them.
        dry_run: remove nothing.

    Returns:
        What has gone; without a condition no whole entry does.

    Raises:
        RunError: a run is under way, which may read any whole entry.
    """
    if unused or older_than_seconds is not None:
        _refuse_under_way(runs or ())
    gone = []
    for kept in list_shelf(cache, runs).entries:
        if kept.is_held or not _may_go(kept, older_than_seconds, unused=unused):
            continue
        if dry_run or _remove(cache.root / kept.stage / kept.digest, kept.state):
            gone.append(kept)
    return Cleared(tuple(gone), dry_run)


def _refuse_under_way(runs: Sequence[RunRecord]) -> None:
    under_way = [
        run.run_id[:RUN_ID_LETTERS] for run in runs if run.status == "RUNNING" and run.tags.get(KIND) != "study"
    ]
    if under_way:
        raise RunError(
            f"run(s) {', '.join(under_way[:5])} are under way and may read any whole entry: wait for them, or give"
            " their command again if their process is gone"
        )


def _may_go(kept: Kept, older_than_seconds: float | None, *, unused: bool) -> bool:
    if kept.state != "whole":
        return True
    if older_than_seconds is None and not unused:
        return False
    is_old = older_than_seconds is None or kept.age_seconds >= older_than_seconds
    return is_old and (not unused or kept.runs == ())


def _remove(folder: Path, expected: State) -> bool:
    """Remove an entry under its lock, its manifest first, so that a half removed one is no whole one."""
    descriptor = try_hold(folder / LOCK)
    if descriptor is None:
        return False
    try:
        if find_state(folder) != expected:  # somebody has been here since we looked
            return False
        (folder / MANIFEST).unlink(missing_ok=True)
        for path in folder.iterdir():
            if path.name != LOCK:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (folder / LOCK).unlink()
    except OSError as error:
        raise ResourceError(f"cannot remove {folder}: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
    with suppress(OSError):  # not empty: somebody who waited for the lock begins anew
        folder.rmdir()
    return True
