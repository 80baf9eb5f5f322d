"""Two processes train as one does; the reference is the same worker alone."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from sbldm.errors import ConfigError, ResourceError
from sbldm.nn.autoencoders import Posterior
from sbldm.training import TrainingSpec, World, current_world, joined
from sbldm.training.distributed import check_batch, check_step, share, sum_gradients

WORKER = Path(__file__).with_name("worker.py")
ROOT = WORKER.parents[3]


def start(folder: Path, processes: int, dying: str = "") -> list[subprocess.Popen[str]]:
    """Start the workers as torchrun would; its own agent would only add seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    plain = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(folder), dying],
            env=plain | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    ends = []
    for process in processes:
        _, words = process.communicate(timeout=120)
        ends.append((process.returncode, words))
    return ends


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict[str, list[float]]]:
    """Return what one process alone, the first of two and the second of two saw."""
    alone, two = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("two")
    for code, words in finish(start(alone, 1)) + finish(start(two, 2)):
        assert code == 0, words
    files = {"alone": alone / "0.json", "first": two / "0.json", "second": two / "1.json"}
    return {name: json.loads(file.read_text()) for name, file in files.items()}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["diffusion", "autoencoder", "parts"])
def test_two_processes_have_the_loss_curve_of_one(seen: dict[str, dict[str, list[float]]], stage: str) -> None:
    assert len(seen["alone"][stage]) == 6
    assert seen["first"][stage] == pytest.approx(seen["alone"][stage], rel=1e-5)


@pytest.mark.slow
def test_only_the_first_process_reports(seen: dict[str, dict[str, list[float]]]) -> None:
    assert [seen["second"][name] for name in ("diffusion", "autoencoder", "parts", "stopped", "resumed")] == [[]] * 5


@pytest.mark.slow
def test_two_processes_stop_together_and_resume_as_one_does(seen: dict[str, dict[str, list[float]]]) -> None:
    whole = seen["alone"]["diffusion"]
    assert seen["first"]["stopped"] == pytest.approx(whole[:3], rel=1e-5)
    assert seen["first"]["resumed"] == pytest.approx(whole[3:], rel=1e-5)


@pytest.mark.slow
def test_a_batch_that_two_cannot_share_is_refused(seen: dict[str, dict[str, str]]) -> None:
    words = "batch must be a multiple of 2 (2 processes x accumulate 1), but got 9"
    assert seen["first"]["refused"] == seen["second"]["refused"] == words


@pytest.mark.slow
def test_a_dead_process_ends_all_with_one_line(tmp_path: Path) -> None:
    (first, words), (second, _) = finish(start(tmp_path, 2, "dying"))
    assert (first, second) == (5, 9)
    lines = [line for line in words.splitlines() if line.startswith("sbldm")]
    assert lines == [
        "sbldm: error: another process of this training ended or cannot be reached, so all stop; start again to go on"
        " from the last checkpoint"
    ]


@pytest.mark.slow
def test_torchrun_starts_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(WORKER), str(tmp_path), ""], env=environment, capture_output=True, timeout=200)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert len(json.loads((tmp_path / "0.json").read_text())["diffusion"]) == 6


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(torch.device("cpu")) as world:
        assert world == current_world() == World(0, 1)
        assert world.is_first


@pytest.mark.parametrize("batch, accumulate, fits", [(8, 1, True), (8, 2, True), (6, 2, False), (7, 1, False)])
def test_a_batch_is_shared_equally_or_refused(batch: int, accumulate: int, fits: bool) -> None:
    if fits:
        check_batch(batch, accumulate, World(1, 2))
        return
    with pytest.raises(ConfigError, match=f"batch must be a multiple of {2 * accumulate} .* but got {batch}"):
        check_batch(batch, accumulate, World(1, 2))


def test_parts_that_do_not_divide_the_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="accumulate must divide batch 8, but got 3"):
        TrainingSpec(steps=1, batch=8, accumulate=3)


def test_only_the_own_rows_lead_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: y = w x on rows (1, 2 | 3, 4), loss sum(y^2), w = 2: dL/dw = 2 w sum x^2, per process its x alone."""
    x, weight = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor(2.0, requires_grad=True)

    def everyone(shares: list[Tensor], sent: Tensor) -> None:
        for share_, rows in zip(shares, x.chunk(2), strict=True):
            share_.copy_(2 * rows)

    monkeypatch.setattr(dist, "all_gather", everyone)
    found = []
    for rank in range(2):
        weight.grad = None
        loss = share(lambda rows: weight * rows, World(rank, 2))(x).square().sum()
        loss.backward()
        assert float(loss.detach()) == 4 * 30
        found.append(float(weight.grad))  # type: ignore[arg-type]
    assert found == [4 * 5, 4 * 25]


def test_both_halves_of_a_posterior_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    def everyone(shares: list[Tensor], sent: Tensor) -> None:
        for share_ in shares:
            share_.copy_(sent)

    monkeypatch.setattr(dist, "all_gather", everyone)
    x = torch.randn(4, 1, 2, 2)
    found = share(lambda rows: Posterior(rows, -rows), World(1, 2))(x)
    assert torch.equal(found.mean, torch.cat([x[2:], x[2:]]))
    assert torch.equal(found.log_variance, -found.mean)


def test_gradients_are_summed_in_place_and_those_absent_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = [
        torch.nn.Parameter(torch.zeros(2, 3)),
        torch.nn.Parameter(torch.zeros(4)),
        torch.nn.Parameter(torch.zeros(1)),
    ]
    weights[0].grad, weights[2].grad = torch.ones(2, 3), torch.tensor([5.0])
    monkeypatch.setattr(dist, "all_reduce", lambda flat: flat.mul_(2))
    sum_gradients(weights)
    assert torch.equal(weights[0].grad, torch.full((2, 3), 2.0))
    assert weights[1].grad is None
    assert weights[2].grad.tolist() == [10.0]


def test_a_lost_connection_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise RuntimeError("[/pytorch/gloo/transport/tcp/pair.cc:553] Connection closed by peer")

    monkeypatch.setattr(dist, "all_reduce", lost)
    with pytest.raises(ResourceError, match=r"^another process of this training ended"):
        check_step(3, torch.device("cpu"))
