import json
import os
from pathlib import Path
from typing import Any

import pytest

from sbldm.errors import RunError
from search.cache import MANIFEST, Cache, Entry
from search.clearing import Cleared, clear_shelf
from search.locks import holding
from search.shelf import Kept, format_bytes, list_shelf
from search.tracking import RunRecord

DAY = 86400.0


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Hold one entry of each state, and one of a stage that runs do not name."""
    cache = Cache(tmp_path / "cache")
    put(cache, "autoencoder", "used")
    put(cache, "autoencoder", "idle")
    put(cache, "samples", "some")
    (put(cache, "data", "bad").directory / "file").write_bytes(b"other")
    unfinished = cache.entry("diffusion", "half")
    with unfinished.lock():
        unfinished.work.mkdir()
        (unfinished.work / "step-1").write_bytes(b"x" * 500)
    with holding(cache.root / "running" / "all"):  # the locks of runs lie here, and are no entry
        pass
    return cache


def put(cache: Cache, stage: str, digest: str) -> Entry:
    entry = cache.entry(stage, digest)
    with entry.lock():
        (entry.directory / "file").write_bytes(b"x" * 1000)
        entry.commit({"seconds": 1.0})
    return entry


def run(run_id: str = "r1", status: str = "FINISHED", **tags: str) -> RunRecord:
    return RunRecord(run_id, "name", status, {}, {}, {f"sbldm.{key}": value for key, value in tags.items()})


def clear(cache: Cache, runs: Any = (), **conditions: Any) -> list[str]:
    options = {"older_than_seconds": None, "unused": False, "dry_run": False} | conditions
    return names(clear_shelf(cache, runs, **options).entries)


def names(entries: tuple[Kept, ...]) -> list[str]:
    return sorted(f"{each.stage}/{each.digest}" for each in entries)


def on_disk(cache: Cache) -> list[str]:
    return sorted(f"{path.parent.name}/{path.name}" for path in cache.root.glob("*/*") if path.is_dir())


def make_old(cache: Cache, stage: str, digest: str, days: float) -> None:
    folder = cache.root / stage / digest
    for path in (*folder.rglob("*"), folder):
        then = path.stat().st_mtime - days * DAY
        os.utime(path, (then, then))


def test_every_entry_is_listed_with_its_state_and_size(cache: Cache) -> None:
    found = {f"{each.stage}/{each.digest}": each for each in list_shelf(cache, ()).entries}
    assert {name: each.state for name, each in found.items()} == {
        "autoencoder/idle": "whole",
        "autoencoder/used": "whole",
        "data/bad": "broken",
        "diffusion/half": "unfinished",
        "samples/some": "whole",
    }
    manifest = (cache.root / "autoencoder" / "used" / MANIFEST).stat().st_size
    assert found["autoencoder/used"].bytes == 1000 + manifest
    assert found["diffusion/half"].bytes == 500


def test_runs_are_known_where_they_name_an_entry_and_unknown_elsewhere(cache: Cache) -> None:
    runs = [run("r1", autoencoder="used"), run("r2", autoencoder="used", network="gone"), run("r3")]
    found = {each.digest: each.runs for each in list_shelf(cache, runs).entries}
    assert found == {"used": ("r1", "r2"), "idle": (), "bad": (), "half": (), "some": None}
    assert {each.runs for each in list_shelf(cache, None).entries} == {None}


def test_an_entry_is_as_old_as_its_newest_file(cache: Cache) -> None:
    make_old(cache, "autoencoder", "idle", 40)
    ages = {each.digest: each.age_seconds for each in list_shelf(cache, ()).entries}
    assert 39.9 * DAY < ages["idle"] < 40.1 * DAY
    assert ages["used"] < DAY
    os.utime(cache.root / "autoencoder" / "idle" / "file")
    assert [each.age_seconds < DAY for each in list_shelf(cache, ()).entries if each.digest == "idle"] == [True]


def test_without_a_condition_whole_entries_stay(cache: Cache) -> None:
    assert clear(cache) == ["data/bad", "diffusion/half"]
    assert on_disk(cache) == ["autoencoder/idle", "autoencoder/used", "samples/some"]
    assert clear(cache) == []


def test_unused_entries_go_only_if_that_is_known(cache: Cache) -> None:
    assert clear(cache, None, unused=True) == ["data/bad", "diffusion/half"]
    assert clear(cache, [run(autoencoder="used")], unused=True) == ["autoencoder/idle"]
    assert on_disk(cache) == ["autoencoder/used", "samples/some"]


def test_old_entries_go_and_both_conditions_must_hold(cache: Cache) -> None:
    for digest in ("used", "idle"):
        make_old(cache, "autoencoder", digest, 40)
    put(cache, "autoencoder", "new")
    runs = [run(autoencoder="used")]
    assert clear(cache, runs, older_than_seconds=30 * DAY, unused=True) == [
        "autoencoder/idle",
        "data/bad",
        "diffusion/half",
    ]
    assert clear(cache, runs, older_than_seconds=30 * DAY) == ["autoencoder/used"]
    assert on_disk(cache) == ["autoencoder/new", "samples/some"]


def test_an_entry_at_which_somebody_works_is_never_touched(cache: Cache) -> None:
    with cache.entry("diffusion", "half").lock(), cache.entry("autoencoder", "idle").lock():
        assert [each.digest for each in list_shelf(cache, ()).entries if each.is_held] == ["idle", "half"]
        assert clear(cache, unused=True, dry_run=True) == ["autoencoder/used", "data/bad"]
        assert clear(cache, unused=True) == ["autoencoder/used", "data/bad"]
    assert (cache.root / "diffusion" / "half" / "work" / "step-1").exists()
    assert clear(cache) == ["diffusion/half"]


def test_a_lock_that_is_taken_after_the_look_is_respected(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    look = list_shelf(cache, ())
    monkeypatch.setattr("search.clearing.list_shelf", lambda *_: look)
    put(cache, "data", "bad")  # mended meanwhile
    with cache.entry("diffusion", "half").lock():
        assert clear(cache) == []
    assert cache.entry("data", "bad").meta() == {"seconds": 1.0}


def test_a_dry_run_says_the_same_and_removes_nothing(cache: Cache) -> None:
    before = on_disk(cache)
    dry = clear_shelf(cache, (), older_than_seconds=None, unused=True, dry_run=True)
    assert on_disk(cache) == before
    done = clear_shelf(cache, (), older_than_seconds=None, unused=True, dry_run=False)
    assert (names(dry.entries), dry.bytes) == (names(done.entries), done.bytes)
    assert dry.lines()[-1].startswith("would free")
    assert done.lines()[-1].startswith("freed")
    assert f"({done.bytes} bytes) in {len(done.entries)} entries" in done.lines()[-1]


def test_the_bytes_that_are_freed_are_those_the_disk_gets_back(cache: Cache) -> None:
    def total() -> int:
        return sum(path.stat().st_size for path in cache.root.rglob("*") if path.is_file())

    before = total()
    done = clear_shelf(cache, (), older_than_seconds=None, unused=True, dry_run=False)
    assert done.bytes == before - total() > 0


@pytest.mark.parametrize("conditions", [{"unused": True}, {"older_than_seconds": 0.0}])
def test_no_whole_entry_goes_while_a_run_is_under_way(cache: Cache, conditions: dict[str, Any]) -> None:
    with pytest.raises(RunError, match="r7 are under way"):
        clear(cache, [run("r7", "RUNNING")], **conditions)
    assert clear(cache, [run("r7", "RUNNING")]) == ["data/bad", "diffusion/half"]
    assert "autoencoder/idle" in clear(cache, [run("r8", "RUNNING", kind="study")], **conditions)


def test_who_waits_for_a_removed_entry_begins_it_anew(cache: Cache) -> None:
    entry = cache.entry("diffusion", "half")
    assert clear(cache) == ["data/bad", "diffusion/half"]
    with entry.lock():
        assert entry.meta() is None
        assert clear(cache) == []
    assert entry.directory.is_dir()


def test_a_cache_that_is_not_there_is_empty_and_stays_so(tmp_path: Path) -> None:
    assert list_shelf(Cache(tmp_path / "none"), ()).entries == ()
    assert clear(Cache(tmp_path / "none")) == []
    assert list(tmp_path.iterdir()) == []


def test_links_out_of_the_cache_are_not_followed(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (cache.root / "data" / "link").symlink_to(tmp_path / "precious")
    (cache.root / "diffusion" / "half" / "link").symlink_to(tmp_path / "precious")
    clear(cache, older_than_seconds=0.0)
    assert (tmp_path / "precious" / "file").exists()


def test_both_are_told_in_words_and_in_json(cache: Cache) -> None:
    shelf = list_shelf(cache, [run("0123456789abcdef", autoencoder="used")])
    rows = {row[1]: row for row in shelf.table().rows}
    assert rows["used"][:3] == ("autoencoder", "used", "whole")
    assert [rows[name][5] for name in ("used", "idle", "some")] == ["01234567", "none", "unknown"]
    assert len(json.loads(json.dumps(shelf.to_json()))["entries"]) == 5
    cleared = Cleared(shelf.entries, is_dry=True)
    assert json.loads(json.dumps(cleared.to_json()))["bytes"] == cleared.bytes


@pytest.mark.parametrize(
    "count, words",
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (3 * 1024**3, "3.0 GiB"),
        (2**42, "4.0 TiB"),
    ],
)
def test_sizes_are_in_powers_of_1024(count: int, words: str) -> None:
    assert format_bytes(count) == words
