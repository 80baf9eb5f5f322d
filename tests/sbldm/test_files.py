import errno
import os
from pathlib import Path

import pytest

from sbldm.errors import ResourceError, RunError
from sbldm.files import atomic_write, read_json, sha256, write_json

CALLS = ("fsync", "replace", "open", "close")


class Fault:
    """Fail the n-th system call of a commit, counting all of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int) -> None:
        self.count = 0
        for name in CALLS:
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name), fail_at))

    def wrap(self, call, fail_at):  # type: ignore[no-untyped-def]
        def counted(*args, **kwargs):  # type: ignore[no-untyped-def]
            self.count += 1
            if self.count == fail_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*args, **kwargs)

        return counted


def outcome(write, *args):  # type: ignore[no-untyped-def]
    try:
        write(*args)
    except ResourceError as error:
        return error


@pytest.mark.parametrize("fail_at", range(1, 12))
def test_a_full_disk_at_any_call_leaves_the_old_file_or_the_new_one(tmp_path: Path, fail_at: int) -> None:
    path = tmp_path / "weights"
    atomic_write(path, b"old")
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(patch, fail_at)
        error = outcome(atomic_write, path, b"new content")
    failed = error is not None
    assert failed == (fault.count >= fail_at)
    assert not failed or "No space left" in str(error)
    assert path.read_bytes() in ({b"old", b"new content"} if failed else {b"new content"})
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]


def test_the_sweep_reaches_every_call(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(patch, fail_at=10_000)
        atomic_write(tmp_path / "file", b"x")
    assert 4 <= fault.count < 12  # else the sweep above is vacuous or too short


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "file", b"x")
    assert list(tmp_path.iterdir()) == []


def test_json_round_trips_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"gamma": 0.5, "seeds": [0, 1]})
    assert read_json(tmp_path / "a.json") == {"gamma": 0.5, "seeds": [0, 1]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_broken_json_is_one_line_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RunError, match=r"run\.json: not readable as JSON") as caught:
        read_json(tmp_path / "run.json")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such file"):
        read_json(tmp_path / "none.json")


def test_sha256_of_abc_is_the_standards_own_example() -> None:
    # FIPS 180-2, appendix B.1
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
