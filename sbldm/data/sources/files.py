"""Files of a user's data folder: regular, inside the folder, of bounded size, and whole."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from sbldm.errors import DataError
from sbldm.files import sha256
from sbldm.spec import digest_of

LARGEST_FILE_BYTES = 1 << 30  # packed or unpacked
CHUNK = 1 << 20


def check_root(root: Path) -> Path:
    """Return the folder, or say how to give one that exists."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; set data.root to the folder that holds the files")
    return root


def find_files(root: Path, pattern: str, endings: Iterable[str]) -> list[Path]:
    """Return the files below a folder that match, sorted by path; hidden ones are left out."""
    wanted = tuple(endings)
    found = [path for path in root.glob(pattern) if path.name.lower().endswith(wanted) and not path.is_dir()]
    return sorted(path for path in found if not path.name.startswith("."))


def read_file(path: Path, root: Path) -> bytes:
    """Return a file's content; a link out of the folder, a device, a pipe or a giant is refused before it is read."""
    _status(path)
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{path}: a file must lie inside {root}, but it is a link to elsewhere; copy it there")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check that it is there") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: must be a regular file, but is {stat.filemode(status.st_mode)}; remove it")
        if status.st_size > LARGEST_FILE_BYTES:
            raise DataError(f"{path}: must be below {LARGEST_FILE_BYTES} bytes, but has {status.st_size}; split it")
        if status.st_size == 0:
            raise DataError(f"{path}: the file is empty; copy it anew")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def unzip(path: Path, content: bytes, *, limit: int) -> bytes:
    """Return what a gzip file holds, read to its end so that its checksum is tested; at most ``limit`` bytes."""
    parts, size = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            while part := stream.read(CHUNK):
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise DataError(f"{path}: holds more than the {limit} bytes its header announces")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged or truncated gzip file ({error}); copy it anew") from error
    return b"".join(parts)


def peek_gzip(path: Path, content: bytes, size: int) -> bytes:
    """Return the first bytes that a gzip file holds."""
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(content)).read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged or truncated gzip file ({error}); copy it anew") from error


def refuse_twins(root: Path, owners: Mapping[Path, str]) -> None:
    """Refuse one content under two patients: they would be one person in two parts of the split."""
    by_size: dict[int, list[Path]] = {}
    for path in owners:
        by_size.setdefault(_status(path).st_size, []).append(path)
    for paths in by_size.values():
        seen: dict[str, Path] = {}
        for path in paths if len({owners[path] for path in paths}) > 1 else ():
            twin = seen.setdefault(sha256(read_file(path, root)), path)
            if owners[twin] != owners[path]:
                raise DataError(
                    f"{path}: must differ from other patients' files, but equals {twin};"
                    " remove one, or give both the same patient"
                )


def fingerprint(root: Path, paths: Iterable[Path]) -> str:
    """Return a digest of names, sizes and times of change: it changes when any file does."""
    facts = [(str(path.relative_to(root)), _status(path).st_size, _status(path).st_mtime_ns) for path in paths]
    return digest_of(sorted(facts))


def _status(path: Path) -> os.stat_result:
    """Return size and times of what a path leads to; a link to nowhere or to itself is refused."""
    try:
        return path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check that it is there") from error
