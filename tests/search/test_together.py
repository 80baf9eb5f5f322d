"""Who looks after the cache where several processes train; two real processes pass through the whole command below."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import search.together
from sbldm.errors import ResourceError, RunError
from sbldm.training import World
from search.cache import Cache, Entry
from search.interrupt import Stopped
from search.stages import cached
from search.together import BUILDING, READY, found_together, take_part

ROOT = Path(__file__).parents[2]
Follow = Callable[..., tuple[list[Any], Any]]
DIGEST = "0123456789abcdef"
NUMBER = 0x0123456789AB


def build(entry: Entry) -> Generator[Any, None, dict[str, Any]]:
    yield "built"
    (entry.directory / "output").write_text("x")
    return {"found": 1}


def refuse(entry: Entry) -> Generator[Any, None, dict[str, Any]]:
    raise AssertionError("a helping process builds nothing")
    yield


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[int, ...]]]:
    """Return how to take a place among two processes, with what the first will say; and what was said."""

    def take(world: World, *heard: tuple[int, int]) -> list[tuple[int, ...]]:
        said: list[tuple[int, ...]] = []
        coming = iter(heard)

        def hear(*mine: int) -> tuple[int, ...]:
            said.append(mine)
            return mine if world.is_first else next(coming)

        monkeypatch.setattr(search.together, "current_world", lambda: world)
        monkeypatch.setattr(search.together, "hear_first", hear)
        return said

    return take


def test_alone_nobody_is_told(words: Any, tmp_path: Path, follow: Follow) -> None:
    said = words(World())
    _, (_, meta) = follow(found_together(Cache(tmp_path), "data", DIGEST, build, find=cached))
    assert meta["found"] == 1
    assert said == []


def test_the_first_tells_whether_there_is_work_before_it_begins(words: Any, tmp_path: Path, follow: Follow) -> None:
    said = words(World(0, 2))
    follow(found_together(Cache(tmp_path), "data", DIGEST, build, find=cached))
    assert said == [(BUILDING, NUMBER), (READY, NUMBER)]
    follow(found_together(Cache(tmp_path), "data", DIGEST, build, find=cached))
    assert said[2:] == [(READY, NUMBER)]


def test_the_others_help_and_then_read_what_the_first_made(words: Any, tmp_path: Path, follow: Follow) -> None:
    cache, helped = Cache(tmp_path), []

    def helping(entry: Entry) -> Generator[Any, None, None]:
        helped.append(entry.directory.name)
        yield from ()
        follow(cached(cache, "data", DIGEST, build))  # meanwhile, in the first process

    said = words(World(1, 2), (BUILDING, NUMBER), (READY, NUMBER))
    _, (entry, meta) = follow(found_together(cache, "data", DIGEST, refuse, find=cached, help_build=helping))
    assert (meta["found"], (entry.directory / "output").read_text()) == (1, "x")
    assert helped == [DIGEST]
    assert len(said) == 2


def test_a_cache_that_is_not_shared_is_refused(words: Any, tmp_path: Path, follow: Follow) -> None:
    words(World(1, 2), (BUILDING, NUMBER), (READY, NUMBER))
    with pytest.raises(RunError, match=r"all processes must share one cache, but .* is not whole here"):
        follow(found_together(Cache(tmp_path), "data", DIGEST, refuse, find=cached))


def test_other_settings_are_refused(words: Any, tmp_path: Path, follow: Follow) -> None:
    words(World(1, 2), (BUILDING, NUMBER + 1))
    with pytest.raises(RunError, match="same settings and files, but their stage data differs"):
        follow(found_together(Cache(tmp_path), "data", DIGEST, refuse, find=cached))


def lose(asked_to_stop: bool) -> Iterator[Any]:
    yield "at work"
    if asked_to_stop:
        signal.raise_signal(signal.SIGTERM)
    raise ResourceError("another process of this training ended")


def test_a_helper_whose_first_is_gone_says_so_unless_all_were_asked_to_stop() -> None:
    with pytest.raises(ResourceError, match="another process"):
        take_part(lose(asked_to_stop=False))  # type: ignore[arg-type]
    with pytest.raises(Stopped) as stopped:
        take_part(lose(asked_to_stop=True))  # type: ignore[arg-type]
    assert stopped.value.exit_code == 75


def start(folder: Path, processes: int, *more: str) -> list[subprocess.Popen[str]]:
    """Start the command as torchrun would; its own agent would only add seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    plain = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "cli", "train", "--config", "tiny.yaml", "--json", "--mlruns", f"runs{processes}"]
    return [
        subprocess.Popen(
            [*command, *more],
            cwd=folder,
            env=plain | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    ends = []
    for process in processes:
        out, err = process.communicate(timeout=150)
        ends.append((process.returncode, out, err))
    return ends


@pytest.fixture
def folder(tmp_path: Path, tiny: Any) -> Path:
    settings = tiny.model_dump(mode="json") | {"evaluation": {"samples": 12, "companion": None}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


@pytest.mark.slow
def test_two_processes_make_the_model_of_one(folder: Path) -> None:
    from sbldm.model import LatentDiffusion

    (alone,) = finish(start(folder, 1))
    first, second = finish(start(folder, 2))
    assert (alone[0], first[0], second[0]) == (0, 0, 0), alone[2] + first[2] + second[2]
    assert second[1:] == ("", ""), "the first alone prints"
    numbers = [json.loads(each[1])["numbers"] for each in (alone, first)]
    losses = [name for name in numbers[0] if name.startswith("validation/")]
    assert len(losses) > 4
    assert [numbers[1][name] for name in losses] == pytest.approx([numbers[0][name] for name in losses], rel=1e-4)
    models = []
    for count in (1, 2):
        (path,) = (folder / f"runs{count}" / "cache" / "diffusion").glob("*")
        models.append(LatentDiffusion.load(path).network.state_dict())
    for name, weights in models[0].items():
        torch.testing.assert_close(models[1][name], weights, rtol=1e-4, atol=1e-5)  # sums in another order


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_one_process_that_dies_ends_the_other_with_one_line(folder: Path, victim: int) -> None:
    processes = start(folder, 2, "--set", "training.steps=1000000")
    other = processes[1 - victim]
    assert processes[0].stderr is not None
    for line in processes[0].stderr:
        if "diffusion" in line or "latents" in line:
            break
    processes[victim].kill()
    _, words = other.communicate(timeout=60)
    assert other.returncode == 5
    lines = [line for line in words.splitlines() if line.startswith("sbldm")]
    assert len(lines) == 1
    assert "another process of this training ended" in lines[0]
    processes[victim].communicate()


@pytest.mark.slow
def test_all_stop_when_all_are_asked_and_the_same_command_goes_on(folder: Path) -> None:
    processes = start(folder, 2, "--set", "training.steps=100000")
    assert processes[0].stderr is not None
    for line in processes[0].stderr:
        if "latents" in line:
            break
    for process in processes:
        process.send_signal(signal.SIGTERM)
    first, second = finish(processes)
    assert (first[0], second[0]) == (75, 75), first[2] + second[2]
    assert second[2].splitlines()[-1:] == ["sbldm: stopped; the same command goes on"]
    assert list((folder / "runs2" / "cache" / "diffusion").glob("*/work/*/LATEST.json"))
