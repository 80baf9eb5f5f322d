"""A thread that takes entries to a store, so that no step of a training waits for a server."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from sbldm.errors import RunError, StorageError
from search.tracking.entries import Entry
from search.tracking.items import Scalar
from search.tracking.journal import Journal

BATCH = 100
SECONDS = 10.0
LOG = logging.getLogger("search.tracking")


class Courier:
    """Deliver entries in their order, numbers in batches; what a store does not take waits in its journal.

    Args:
        deliver: takes entries of one run to the store; to deliver the same ones again changes nothing. It raises
            StorageError where the store does not answer and RunError where it will never take them.
        rest: seconds to leave a store alone that has failed.
    """

    def __init__(self, deliver: Callable[[list[Entry]], None], rest: Callable[[], float]) -> None:
        self._deliver, self._rest = deliver, rest
        self._pending: deque[tuple[Journal, Entry, float]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._in_haste = self._is_resting = self._has_warned = False

    @property
    def waiting(self) -> int:
        """Return how many entries the store may not have."""
        return len(self._pending)

    def put(self, journal: Journal, entry: Entry) -> None:
        """Take an entry, written down first."""
        with self._changed:
            self._take([(journal, journal.append(entry), time.monotonic())])

    def adopt(self, journal: Journal, entries: list[Entry]) -> None:
        """Take what a journal holds already."""
        with self._changed:
            self._take([(journal, entry, time.monotonic()) for entry in entries])

    def settle(self, seconds: float) -> bool:
        """Wait until all has arrived, the store fails, or so many seconds have passed; return whether all has."""
        with self._changed:
            self._in_haste = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._pending or self._is_resting, timeout=seconds)
            return not self._pending

    def wake(self) -> None:
        """Try again now, however the store has failed."""
        with self._changed:
            self._is_resting = False
            self._changed.notify_all()

    def _take(self, items: list[tuple[Journal, Entry, float]]) -> None:
        self._pending.extend(items)
        if items:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="tracking")
                self._thread.start()
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._is_due():
                    self._changed.wait(timeout=self._patience())
                journal, entries = self._next_group()
            try:
                self._hand_over(journal, entries)
            except StorageError as error:
                self._leave_alone(journal, error)
                continue
            with self._changed:
                for _ in entries:
                    self._pending.popleft()
                journal.arrived(entries)
                self._in_haste = self._in_haste and bool(self._pending)
                self._changed.notify_all()

    def _is_due(self) -> bool:
        """Return whether to deliver now: numbers wait for company, everything else does not."""
        if not self._pending:
            return False
        numbers = sum(isinstance(entry.what, Scalar) for _, entry, _ in self._pending)
        return self._in_haste or numbers >= BATCH or numbers < len(self._pending) or self._patience() == 0

    def _patience(self) -> float | None:
        return max(0.0, self._pending[0][2] + SECONDS - time.monotonic()) if self._pending else None

    def _next_group(self) -> tuple[Journal, list[Entry]]:
        journal, first, _ = self._pending[0]
        group = [first]
        for other, entry, _ in list(self._pending)[1:BATCH] if isinstance(first.what, Scalar) else ():
            if other is not journal or not isinstance(entry.what, Scalar):
                break
            group.append(entry)
        return journal, group

    def _hand_over(self, journal: Journal, entries: list[Entry]) -> None:
        try:
            self._deliver(entries)
        except RunError as error:
            if len(entries) > 1:  # one of them is to blame
                for entry in entries:
                    self._hand_over(journal, [entry])
            elif journal.refuse(entries[0]):
                LOG.warning("the tracking store refuses what now lies in %s (%s)", journal.path.parent, error)

    def _leave_alone(self, journal: Journal, error: StorageError) -> None:
        journal.sync()
        if not self._has_warned:
            self._has_warned = True
            LOG.warning(
                "%s; work goes on, its record waits in %s until `sbldm sync`", error, journal.path.parent.parent
            )
        with self._changed:
            self._is_resting = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_resting, timeout=self._rest())
            self._is_resting = False
