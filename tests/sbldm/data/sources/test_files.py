"""A data folder is not trusted: nothing outside it is opened, nothing hangs, nothing swells."""

import gzip
import os
from pathlib import Path

import pytest

from sbldm.data.sources import files
from sbldm.errors import DataError


def test_a_file_reads_back_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)))
    assert files.read_file(tmp_path / "a", tmp_path) == bytes(range(256))


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").write_text("secret")
    (root / "inside").write_text("mine")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "in").symlink_to(root / "inside")
    with pytest.raises(DataError, match="must lie inside"):
        files.read_file(root / "out", root)
    with pytest.raises(DataError, match="must lie inside"):
        files.read_file(root / ".." / "outside", root)
    assert files.read_file(root / "in", root) == b"mine"


@pytest.mark.timeout(10)
def test_a_pipe_a_folder_and_a_device_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "folder.png"):
        with pytest.raises(DataError, match=name):
            files.read_file(tmp_path / name, tmp_path)
    with pytest.raises(DataError, match="regular file"):
        files.read_file(Path("/dev/zero"), Path("/dev"))


def test_an_empty_and_an_oversized_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty"):
        files.read_file(tmp_path / "empty", tmp_path)
    with (tmp_path / "giant").open("wb") as giant:
        giant.truncate(files.LARGEST_FILE_BYTES + 1)  # sparse: takes no space
    with pytest.raises(DataError, match="must be below"):
        files.read_file(tmp_path / "giant", tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", os.urandom(70_000)])
def test_unzip_undoes_gzip(content: bytes) -> None:
    assert files.unzip(Path("x"), gzip.compress(content), limit=len(content)) == content


def test_unzip_stops_at_the_limit_instead_of_filling_memory() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(DataError, match="more than the 1000 bytes"):
        files.unzip(Path("bomb"), bomb, limit=1000)


def test_every_truncation_and_every_flipped_bit_of_the_data_is_noticed() -> None:
    content = os.urandom(300)
    whole = gzip.compress(content)
    for end in range(1, len(whole)):
        with pytest.raises(DataError):
            files.unzip(Path("x"), whole[:end], limit=10_000)
    for place in range(10, len(whole)):  # the ten bytes before are the gzip header, which carries no data
        damaged = bytearray(whole)
        damaged[place] ^= 4
        with pytest.raises(DataError):
            files.unzip(Path("x"), bytes(damaged), limit=10_000)


def test_twins_are_found_by_content_not_by_name(tmp_path: Path) -> None:
    for name, text in (("a", "one"), ("b", "two"), ("c", "one")):
        (tmp_path / name).write_text(text)
    owners = {tmp_path / "a": "p1", tmp_path / "b": "p2", tmp_path / "c": "p1"}
    files.refuse_twins(tmp_path, owners)
    with pytest.raises(DataError, match="equals"):
        files.refuse_twins(tmp_path, owners | {tmp_path / "c": "p2"})
