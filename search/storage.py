"""Where the trials of studies are kept: a SQLite file of this machine, or a PostgreSQL server for many machines."""

import re
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import optuna
from sqlalchemy import Engine, event

from sbldm.errors import ConfigError, StorageError
from search.file_system import file_system, is_network
from search.locks import holding
from search.open_study import Goal
from search.postgres import PostgresLocks
from search.redaction import explain, redact
from search.study_locks import FileLocks, StudyLocks

LOCK_SECONDS = 60
POSTGRES = re.compile(r"(postgresql|postgres|postgresql\+psycopg)://")


def open_study(
    home: Path, name: str, url: str | None = None, goals: Sequence[Goal] = ("minimize",)
) -> tuple[optuna.Study, StudyLocks]:
    """Return the trials of a study, made on first use, and the locks that its workers agree by.

    Args:
        home: folder of ``optuna.db`` and of the locks, where there is no server.
        name: of the study.
        url: ``postgresql://user@host/database``, for workers on many machines.
        goals: of a new study, minimize or maximize for each objective.

    Raises:
        ConfigError: the address is of another kind.
        StorageError: the database does not answer, or its folder is shared between machines; nothing is made.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url is None:
        refuse_network(home)
        with holding(home / "locks" / "optuna.lock"):  # processes that make one database at once break it
            return _create(name, goals, lambda: _open_file(home)), FileLocks(home / "locks" / name)
    address = normalize(url)
    first = PostgresLocks(address, "")  # a study's name is not empty
    with first.mutex():
        study = _create(name, goals, lambda: _open_server(address))
    first.close()
    return study, PostgresLocks(address, name)


def check_storage(url: str | None) -> None:
    """Refuse an address that no study can be kept at, before anything is made.

    Raises:
        ConfigError: it is not of PostgreSQL.
        StorageError: the server does not answer, or has no such user or database.
    """
    if url is not None:
        PostgresLocks(normalize(url), "").close()


def study_names(home: Path, url: str | None = None) -> set[str]:
    """Return the names of all studies that are kept there; nothing is made.

    Raises:
        StorageError: the database does not answer.
    """
    if url is None:
        return set(optuna.get_all_study_names(_open_file(home))) if (home / "optuna.db").exists() else set()
    check_storage(url)
    return set(optuna.get_all_study_names(_open_server(normalize(url))))


def normalize(url: str) -> str:
    """Return the address as the server's own library reads it."""
    if not POSTGRES.match(url):
        raise ConfigError(
            f"storage must be postgresql://user@host/database, but got {redact(url)!r};"
            " without --storage a study is kept in a SQLite file below --mlruns"
        )
    return POSTGRES.sub("postgresql://", url, count=1)


def refuse_network(home: Path) -> None:
    """Refuse a folder on a file system of another machine, whose locks SQLite cannot rely on.

    Raises:
        StorageError: names the folder and the file system.
    """
    kind = file_system(home)
    if is_network(kind):
        raise StorageError(
            f"{home}: a study cannot be kept in a SQLite file on {kind}, where locks do not hold between machines;"
            " choose a local folder with --mlruns, or a PostgreSQL server with --storage"
        )


def _create(name: str, goals: Sequence[Goal], connect: Callable[[], optuna.storages.RDBStorage]) -> optuna.Study:
    return optuna.create_study(storage=connect(), study_name=name, load_if_exists=True, directions=goals)


def _open_file(home: Path) -> optuna.storages.RDBStorage:
    path = home.resolve() / "optuna.db"
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    except Exception as error:  # sqlalchemy and alembic each have a family of their own
        raise StorageError(f"{path}: not usable as an Optuna database ({str(error).splitlines()[0]})") from error
    _serialise_writers(storage.engine)
    return storage


def _open_server(address: str) -> optuna.storages.RDBStorage:
    parts = urlsplit(address)
    url = urlunsplit(parts._replace(scheme="postgresql+psycopg"))
    try:
        storage = optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    except Exception as error:
        raise StorageError(explain("the study's database", error, address)) from None
    weakref.finalize(storage, storage.engine.dispose)
    return storage


def _serialise_writers(engine: Engine) -> None:
    """Let each transaction take SQLite's write lock at its start, so that no two read the same state and both write."""
    engine.dispose()

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA busy_timeout={LOCK_SECONDS * 1000}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
