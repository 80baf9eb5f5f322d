"""Kill -9 at random moments, start again, until done: the end is that of a run that was left alone."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbldm.training import CheckpointStore, Task, TrainingSpec, train

MakeTask = Callable[[], Task]


def finish(make_task: MakeTask, spec: TrainingSpec, directory: Path) -> dict[str, torch.Tensor]:
    store = CheckpointStore(directory)
    for _ in train(make_task(), spec, seed=5, store=store, device=torch.device("cpu")):
        pass
    checkpoint = store.latest()
    assert checkpoint is not None
    return checkpoint.tensors


@pytest.mark.slow  # kills several processes
def test_kill_nine_at_random_moments_changes_nothing(make_task: MakeTask, short: TrainingSpec, tmp_path: Path) -> None:
    spec = short.model_copy(update={"steps": 120})
    finish(make_task, short, tmp_path / "warm-up")  # the first steps of a process are slow
    started = time.monotonic()
    whole = finish(make_task, spec, tmp_path / "whole")
    length = time.monotonic() - started
    dice, kills = random.Random(0), 0
    while True:
        pid = os.fork()
        if pid == 0:
            try:
                finish(make_task, spec, tmp_path / "parts")
                os._exit(0)
            except BaseException:
                os._exit(3)
        time.sleep(dice.uniform(0.02, 0.35 * length))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        kills += 1
    assert kills > 1
    parts = finish(make_task, spec, tmp_path / "parts")
    assert parts.keys() == whole.keys()
    assert [key for key in whole if not torch.equal(parts[key], whole[key])] == []
