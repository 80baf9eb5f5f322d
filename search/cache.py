"""Stage outputs on disk, each under the digest of all that made it: no work is done twice, no broken entry used."""

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbldm.errors import ResourceError, RunError
from sbldm.files import read_json, sha256, write_json
from search.locks import holding

MANIFEST = "MANIFEST.json"
WORK = "work"


@dataclass(frozen=True)
class Entry:
    """One stage output: a folder whose manifest, written last, holds the hash of every file."""

    directory: Path

    @property
    def work(self) -> Path:
        """Return the folder for checkpoints of an unfinished stage; it goes when the entry is whole."""
        return self.directory / WORK

    def meta(self) -> dict[str, Any] | None:
        """Return what was recorded when the entry was committed, or None where it is not whole."""
        if not (self.directory / MANIFEST).exists():
            return None
        try:
            manifest = read_json(self.directory / MANIFEST)
            whole = all(_digest(self.directory / name) == digest for name, digest in manifest["files"].items())
            return dict(manifest["meta"]) if whole else None
        except (RunError, KeyError, TypeError, AttributeError, OSError):
            return None

    def commit(self, meta: Mapping[str, Any]) -> None:
        """Declare the entry whole: what it holds now is what it must hold from now on."""
        shutil.rmtree(self.work, ignore_errors=True)
        names = sorted(path.name for path in self.directory.iterdir() if path.is_file() and not _is_ours(path))
        files = {name: _digest(self.directory / name) for name in names}
        write_json(self.directory / MANIFEST, {"files": files, "meta": dict(meta)})

    def clear(self) -> None:
        """Remove a broken output, but keep the checkpoints of an unfinished one."""
        for path in self.directory.iterdir():
            if path.is_file() and path.name != ".lock":
                path.unlink()

    def lock(self) -> AbstractContextManager[None]:
        """Hold the entry; a second process waits here and then finds it ready."""
        return holding(self.directory / ".lock")


@dataclass(frozen=True)
class Cache:
    """All stage outputs below one folder."""

    root: Path

    def entry(self, stage: str, digest: str) -> Entry:
        """Return the place of one output, whether it is there or not.

        Raises:
            ResourceError: the folder cannot be made or written to.
        """
        entry = Entry(self.root / stage / digest)
        try:
            entry.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(f"cannot write {entry.directory}: {error.strerror or error}") from error
        return entry


def _digest(path: Path) -> str:
    return sha256(path.read_bytes())


def _is_ours(path: Path) -> bool:
    return path.name in {MANIFEST, ".lock"} or path.suffix == ".tmp"
