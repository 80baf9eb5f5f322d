"""One run's record on its way to its store, by way of its journal."""

from pathlib import Path

from search.tracking.courier import Courier
from search.tracking.entries import Abandon, Entry, Finish, Reopen, Start, Told
from search.tracking.items import LogItem, Status
from search.tracking.journal import Journal, leftovers

FINISH_SECONDS = 10.0


class MlflowTracker:
    """Write one run's record down, and have it taken to the store while work goes on.

    What an earlier process has left of it goes first.

    Args:
        run_id: of the store, or as ``local_id`` makes it.
        folder: of the run's journals.
        courier: who takes them to the store.
    """

    def __init__(self, run_id: str, folder: Path, courier: Courier) -> None:
        self.run_id, self._folder, self._courier = run_id, folder, courier
        self.is_closed = False
        self._journals: list[Journal] = []
        for journal, entries in leftovers(folder):
            self._journals.append(journal)
            courier.adopt(journal, entries)
        self._own: Journal | None = None

    @property
    def waits(self) -> bool:
        """Return whether this record is still open, or some of it has not arrived."""
        return not self.is_closed or bool(self._journals)

    def start(self, what: Start) -> None:
        """Begin the run; the store gives it an id of its own when it is told."""
        self._put(what)

    def reopen(self) -> None:
        """Say that the run goes on."""
        self._put(Reopen())

    def abandon(self) -> None:
        """Say of a run whose process is gone how it ended, unless that is known."""
        self._put(Abandon())
        self.close()

    def log(self, item: LogItem) -> None:
        """Record one item; the same item twice is recorded once."""
        self._put(item)

    def finish(self, status: Status) -> None:
        """Say how the run ended, and wait a little for its record to arrive."""
        self._put(Finish(status))
        self.close()

    def close(self) -> None:
        """Wait a little for what was logged to arrive; what does not arrive waits in the journal."""
        self.is_closed = True
        self._courier.settle(FINISH_SECONDS)
        self.tidy()

    def tidy(self) -> None:
        """Remove the journals of a closed record that has arrived."""
        if self.is_closed and not any(journal.waiting for journal in self._journals):
            for journal in self._journals:
                journal.close()
            self._journals.clear()
            self._own = None

    def _put(self, what: Told) -> None:
        if self._own is None:
            self._own = Journal.begin(self._folder)
            self._journals.append(self._own)
        self._courier.put(self._own, Entry(self.run_id, what))
