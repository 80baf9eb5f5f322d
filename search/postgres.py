"""Locks of workers on many machines: advisory locks of one PostgreSQL session, freed by the server at its end.

A pool that gives one session to several clients in turn (pgbouncer by transaction) breaks them.
"""

import hashlib
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sbldm.errors import ConfigError, StorageError
from search.redaction import explain

KEEPALIVE = "-c tcp_keepalives_idle=60 -c tcp_keepalives_interval=15 -c tcp_keepalives_count=4"
"""Lets the server notice within two minutes that a worker's machine is gone."""
CONNECT_SECONDS = 10


class PostgresLocks:
    """Locks of one study in the database where it is kept.

    Args:
        url: ``postgresql://user@host/database``.
        study: whose locks they are; any name but that of another study.

    Raises:
        StorageError: the server does not answer, or has no such user or database.
    """

    def __init__(self, url: str, study: str) -> None:
        self._url, self._study = url, study
        self._held: set[int] = set()  # a session may take its own lock again, which would look like a free one
        self._open()

    @contextmanager
    def mutex(self) -> Iterator[None]:
        """Wait for the study's lock on the server; a session that was cut off is opened again first."""
        self._ensure_session()
        self._ask("pg_advisory_lock", "study")
        try:
            yield
        finally:
            if not self._session.closed:
                self._ask("pg_advisory_unlock", "study")

    def try_trial(self, number: int) -> Callable[[], None] | None:
        """Take the trial's lock on the server."""
        if number in self._held or not self._ask("pg_try_advisory_lock", f"trial {number}"):
            return None
        self._held.add(number)
        return lambda: self._free(number)

    def close(self) -> None:
        """End the session, and with it every lock."""
        self._session.close()

    def _free(self, number: int) -> None:
        if number in self._held:  # else they went with an earlier session
            self._held.discard(number)
            self._ask("pg_advisory_unlock", f"trial {number}")

    def _ensure_session(self) -> None:
        import psycopg

        try:
            self._session.execute("SELECT 1")
        except psycopg.OperationalError:
            self._session.close()
            self._held.clear()
            self._open()

    def _open(self) -> None:
        self._session: Any = _connect(self._url)
        weakref.finalize(self, self._session.close)

    def _ask(self, function: str, what: str) -> bool:
        import psycopg

        try:
            row = self._session.execute(f"SELECT {function}(%s)", [_key(self._study, what)]).fetchone()
        except psycopg.Error as error:
            raise StorageError(explain("the study's database", error, self._url)) from None
        return bool(row[0])


def _key(study: str, what: str) -> int:
    """Return the 64-bit number that names a lock; other programs in the database are unlikely to use it."""
    return int.from_bytes(hashlib.sha256(f"sbldm\n{study}\n{what}".encode()).digest()[:8], signed=True)


def _connect(url: str) -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise ConfigError("a study in PostgreSQL needs psycopg: pip install 'sbldm[postgres]'") from error
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS, options=KEEPALIVE)
    except psycopg.Error as error:
        raise StorageError(explain("the study's database", error, url)) from None
