import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from sbldm.errors import ResourceError
from search.cache import MANIFEST, Cache, Entry
from search.events import StageFinished, StageStarted
from search.stages import cached

Events = Generator[Any, None, dict[str, Any]]
Follow = Callable[..., tuple[list[Any], Any]]
BUILD_ONCE = """
import sys, time
from pathlib import Path
from search.cache import Cache
root = Path(sys.argv[1])
entry = Cache(root).entry("stage", "digest")
print("ready", flush=True)
sys.stdin.readline()
with entry.lock():
    if entry.meta() is None:
        with (root / "built.txt").open("a") as log:
            log.write("built\\n")
        time.sleep(0.3)
        (entry.directory / "output.txt").write_text("whole")
        entry.commit({"seconds": 1.0})
    assert (entry.directory / "output.txt").read_text() == "whole"
"""


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return Cache(tmp_path).entry("stage", "digest")


@pytest.fixture
def whole(entry: Entry) -> Entry:
    (entry.directory / "a.txt").write_text("first")
    (entry.directory / "b.txt").write_text("second")
    entry.commit({"seconds": 2.5, "calls": 3})
    return entry


def test_a_committed_entry_returns_what_was_recorded(whole: Entry, tmp_path: Path) -> None:
    assert whole.meta() == {"seconds": 2.5, "calls": 3}
    assert Cache(tmp_path).entry("stage", "digest").meta() == {"seconds": 2.5, "calls": 3}
    assert Cache(tmp_path).entry("stage", "other").meta() is None
    assert Cache(tmp_path).entry("other", "digest").meta() is None


def test_an_entry_is_not_whole_before_its_manifest(entry: Entry) -> None:
    (entry.directory / "a.txt").write_text("first")
    assert entry.meta() is None


@pytest.mark.parametrize("manifest", ["", "{", "[]", "null", '{"files": {}}', '{"files": [], "meta": {}}'])
def test_a_damaged_manifest_makes_no_whole_entry(whole: Entry, manifest: str) -> None:
    (whole.directory / MANIFEST).write_text(manifest)
    assert whole.meta() is None


def test_an_altered_file_breaks_its_entry_and_mending_it_heals_it(whole: Entry) -> None:
    (whole.directory / "a.txt").write_text("First")
    assert whole.meta() is None
    (whole.directory / "a.txt").write_text("first")
    assert whole.meta() is not None


def test_a_missing_file_breaks_its_entry(whole: Entry) -> None:
    (whole.directory / "b.txt").unlink()
    assert whole.meta() is None


def test_a_stranger_in_the_folder_does_not_break_an_entry(whole: Entry) -> None:
    (whole.directory / "notes.txt").write_text("mine")
    assert whole.meta() is not None


def test_clearing_removes_the_output_and_keeps_the_checkpoints(whole: Entry) -> None:
    whole.work.mkdir()
    (whole.work / "step-5").write_text("checkpoint")
    whole.clear()
    assert [path.name for path in whole.directory.iterdir()] == ["work"]
    assert (whole.work / "step-5").read_text() == "checkpoint"


def test_committing_removes_the_checkpoints(entry: Entry) -> None:
    entry.work.mkdir()
    (entry.work / "step-5").write_text("checkpoint")
    entry.commit({})
    assert not entry.work.exists()


def build(value: str, log: list[str]) -> Callable[[Entry], Events]:
    def make(entry: Entry) -> Events:
        yield from ()
        log.append(value)
        (entry.directory / "output.txt").write_text(value)
        return {"calls": 7}

    return make


def test_a_stage_is_built_once_and_found_ready_after(tmp_path: Path, follow: Follow) -> None:
    cache, log = Cache(tmp_path), []
    first, (entry, meta) = follow(cached(cache, "stage", "digest", build("x", log)))
    again, (_, found) = follow(cached(cache, "stage", "digest", build("x", log)))
    assert log == ["x"]
    assert meta == found == entry.meta()
    assert meta["calls"] == 7
    assert [type(event) for event in first] == [StageStarted, StageFinished]
    assert again == [StageFinished("stage", meta["seconds"], cached=True)]


@pytest.mark.parametrize("harm", ["alter", "remove", "manifest"])
def test_a_broken_stage_is_built_again(tmp_path: Path, follow: Follow, harm: str) -> None:
    cache, log = Cache(tmp_path), []
    _, (entry, _) = follow(cached(cache, "stage", "digest", build("x", log)))
    if harm == "alter":
        (entry.directory / "output.txt").write_text("y")
    else:
        (entry.directory / ("output.txt" if harm == "remove" else MANIFEST)).unlink()
    follow(cached(cache, "stage", "digest", build("x", log)))
    assert log == ["x", "x"]
    assert (entry.directory / "output.txt").read_text() == "x"


def test_a_stage_that_fails_leaves_no_whole_entry_and_frees_its_lock(tmp_path: Path, follow: Follow) -> None:
    def fail(entry: Entry) -> Events:
        yield from ()
        (entry.directory / "output.txt").write_text("half")
        raise RuntimeError("crash")

    cache, log = Cache(tmp_path), []
    with pytest.raises(RuntimeError, match="crash"):
        follow(cached(cache, "stage", "digest", fail))
    _, (entry, _) = follow(cached(cache, "stage", "digest", build("x", log)))
    assert log == ["x"]
    assert (entry.directory / "output.txt").read_text() == "x"


def test_two_processes_that_want_one_entry_build_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILD_ONCE, str(tmp_path)]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=60)
    assert [worker.returncode for worker in workers] == [0, 0]
    assert (tmp_path / "built.txt").read_text() == "built\n"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "stage").write_text("a file in the way")
    with pytest.raises(ResourceError, match=str(tmp_path / "stage")):
        Cache(tmp_path).entry("stage", "digest")
