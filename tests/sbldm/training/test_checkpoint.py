import os
from pathlib import Path

import pytest
import torch

from sbldm.errors import ResourceError, RunError
from sbldm.training import CheckpointStore


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((50,), float(step)), "count": torch.tensor(step)}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


@pytest.fixture
def full(store: CheckpointStore) -> CheckpointStore:
    for step in (10, 20, 30):
        store.commit(step, tensors(step), {"note": f"after {step}"})
    return store


def latest_step(store: CheckpointStore) -> int:
    checkpoint = store.latest()
    assert checkpoint is not None
    assert torch.equal(checkpoint.tensors["weight"], torch.full((50,), float(checkpoint.step)))
    assert checkpoint.meta == {"note": f"after {checkpoint.step}"}
    return checkpoint.step


def test_an_empty_directory_has_no_checkpoint(store: CheckpointStore) -> None:
    assert store.latest() is None


def test_the_newest_is_read_back_and_two_generations_are_kept(full: CheckpointStore) -> None:
    assert latest_step(full) == 30
    names = sorted(path.name for path in full.directory.iterdir())
    assert names == ["LATEST.json", *(f"step-{n:09d}.{end}" for n in (20, 30) for end in ("json", "safetensors"))]


@pytest.mark.parametrize("file", ["step-000000030.safetensors", "step-000000030.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "remove", "garbage"])
def test_a_damaged_newest_gives_way_to_the_one_before(
    full: CheckpointStore, file: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = full.directory / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    damaged = {"flip": bytes(content), "truncate": bytes(content[:-9]), "empty": b"", "garbage": b"<html>"}
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(damaged[damage])
    assert latest_step(full) == 20
    if path.exists():
        assert "damaged" in caplog.text


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b'{"step": "x"}', b"\xff\xfe", b'{"step": 999}'])
def test_a_damaged_latest_file_costs_nothing(full: CheckpointStore, content: bytes | None) -> None:
    if content is None:
        (full.directory / "LATEST.json").unlink()
    else:
        (full.directory / "LATEST.json").write_bytes(content)
    assert latest_step(full) == 30


def test_nothing_whole_is_an_error_and_not_a_fresh_start(full: CheckpointStore) -> None:
    for path in full.directory.glob("*.safetensors"):
        path.write_bytes(b"\x80\x04")
    with pytest.raises(RunError, match="no checkpoint is whole"):
        full.latest()
    for path in full.directory.glob("step-*"):
        path.unlink()
    with pytest.raises(RunError, match="files are missing"):
        full.latest()


def test_a_checkpoint_after_a_fall_back_removes_the_damaged_future(full: CheckpointStore) -> None:
    (full.directory / "step-000000030.safetensors").write_bytes(b"")
    full.commit(25, tensors(25), {"note": "after 25"})
    assert latest_step(full) == 25
    assert sorted(path.stem for path in full.directory.glob("step-*.json")) == ["step-000000020", "step-000000025"]


def test_a_checkpoint_of_another_format_is_refused_by_number(store: CheckpointStore) -> None:
    store.commit(1, tensors(1), {"note": "after 1"})
    entry = store.directory / "step-000000001.json"
    entry.write_text(entry.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(RunError, match="format must be 1, but it is 7"):
        store.latest()


@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_an_error_at_any_write_leaves_the_old_or_the_new_whole(
    full: CheckpointStore, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    owner = os if operation == "fsync" else Path
    genuine = getattr(owner, operation)
    failures = 0
    for failing in range(1, 100):
        calls = 0

        def fault(*arguments: object, failing: int = failing) -> object:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(28, "No space left on device")
            return genuine(*arguments)

        monkeypatch.setattr(owner, operation, fault)
        try:
            full.commit(40, tensors(40), {"note": "after 40"})
        except ResourceError:
            failures += 1
            assert latest_step(full) in (30, 40)
            assert not list(full.directory.glob(".*.tmp"))
        else:
            break
        finally:
            monkeypatch.setattr(owner, operation, genuine)
    assert failures == {"fsync": 6, "replace": 3}[operation]  # three files, each and its directory synced
    assert latest_step(full) == 40


def test_files_a_crash_left_half_written_are_swept(full: CheckpointStore) -> None:
    (full.directory / ".step-000000035.safetensors.123.tmp").write_bytes(b"half")
    (full.directory / "step-000000035.safetensors").write_bytes(b"no entry yet")
    assert latest_step(full) == 30
    full.commit(40, tensors(40), {"note": "after 40"})
    assert len(list(full.directory.iterdir())) == 5
