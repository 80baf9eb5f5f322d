"""File locks: the kernel frees them at death, so that no heartbeat and no clock need be trusted."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sbldm.errors import ResourceError


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Wait until no other process holds this lock, and hold it while the block runs."""
    descriptor = _take(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def try_hold(path: Path) -> int | None:
    """Return a descriptor that holds this lock until it is closed, or None where another process holds it."""
    try:
        return _take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def _take(path: Path, how: int) -> int:
    """Lock the file that lies at the path now: its last holder may have removed the one we waited for."""
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, how)
            if _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _open(path: Path) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the folder was removed in between
            continue
        except OSError as error:
            raise ResourceError(f"cannot write {path}: {error.strerror or error}") from error
