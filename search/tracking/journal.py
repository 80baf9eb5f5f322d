"""What a run has said and its store may not have heard: a file that only grows until all of it has arrived."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sbldm.errors import ResourceError
from search.locks import try_hold
from search.tracking.entries import Entry
from search.tracking.items import Artifact, Picture, Scalar

LINKED = ".safetensors"  # written whole and renamed, so that a second name keeps what it names


class Journal:
    """Entries of one run on their way, in a file whose lock says that its process lives.

    Args:
        path: of the file.
        descriptor: what holds its lock.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        self.waiting = 0

    @staticmethod
    def begin(folder: Path) -> "Journal":
        """Return an empty journal in a run's folder, later in order of names than those that lie there."""
        path = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.jsonl"
        descriptor = try_hold(path)
        assert descriptor is not None, "no other process knows this new file"
        return Journal(path, descriptor)

    def append(self, entry: Entry) -> Entry:
        """Write an entry, and return it with files that nobody else changes or removes.

        Raises:
            ResourceError: the volume is full or not writable.
        """
        try:
            kept = self._keep_file(entry)
            os.lseek(self._descriptor, 0, os.SEEK_END)
            os.write(self._descriptor, kept.to_line().encode())
            if not isinstance(entry.what, Scalar):  # those are many; `sync` writes them out when they must wait
                self.sync()
        except OSError as error:
            raise ResourceError(f"cannot write {self.path}: {error.strerror or error}") from error
        self.waiting += 1
        return kept

    def sync(self) -> None:
        """Have the volume keep what was written."""
        os.fsync(self._descriptor)

    def read(self) -> list[Entry]:
        """Return all entries, but for a last one that was cut off by death."""
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        entries = [Entry.from_line(line) for line in lines if line.endswith("\n")]
        self.waiting = len(entries)
        return entries

    def arrived(self, entries: list[Entry]) -> None:
        """Forget entries that the store has; the file is emptied once it has all."""
        self.waiting -= len(entries)
        for entry in entries:
            if isinstance(entry.what, Picture | Artifact):
                shutil.rmtree(entry.what.path.parent, ignore_errors=True)
        if not self.waiting:
            os.ftruncate(self._descriptor, 0)

    def refuse(self, entry: Entry) -> bool:
        """Set an entry aside that the store will never take, and return whether it is the run's first."""
        aside = self.path.parent / "refused.txt"
        is_first = not aside.exists()
        with aside.open("a", encoding="utf-8") as file:
            file.write(entry.to_line())
        return is_first

    def close(self) -> None:
        """Let go of the file, which goes with what is left of the folder where nothing waits."""
        if not self.waiting:
            self.path.unlink(missing_ok=True)
            for folder in (self.path.parent / "files", self.path.parent):
                with suppress(OSError):  # another journal of the run lies there
                    folder.rmdir()
        os.close(self._descriptor)

    def _keep_file(self, entry: Entry) -> Entry:
        if not isinstance(entry.what, Picture | Artifact):
            return entry
        source = entry.what.path
        kept = self.path.parent / "files" / uuid.uuid4().hex / source.name
        kept.parent.mkdir(parents=True)
        try:
            if source.suffix != LINKED:
                raise OSError
            os.link(source, kept)
        except OSError:  # another volume, or one without second names
            shutil.copyfile(source, kept)
        return replace(entry, what=replace(entry.what, path=kept))


def leftovers(folder: Path) -> Iterator[tuple[Journal, list[Entry]]]:
    """Take over the journals of a run that no living process writes, oldest first."""
    for path in sorted(folder.glob("*.jsonl")):
        descriptor = try_hold(path)
        if descriptor is not None:
            journal = Journal(path, descriptor)
            yield journal, journal.read()
