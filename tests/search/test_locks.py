import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sbldm.errors import ResourceError
from search.locks import holding, try_hold


def test_a_held_lock_is_not_given_again_until_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "some" / "lock"
    with holding(path):
        assert try_hold(path) is None
    descriptor = try_hold(path)
    assert descriptor is not None
    assert try_hold(path) is None
    os.close(descriptor)
    with holding(path):
        pass


def test_a_failing_block_lets_go(tmp_path: Path) -> None:
    with pytest.raises(KeyError), holding(tmp_path / "lock"):
        raise KeyError
    assert try_hold(tmp_path / "lock") is not None


def test_death_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    hold = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('held', flush=True)"
    with subprocess.Popen([sys.executable, "-c", f"{hold}; time.sleep(60)", path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert try_hold(path) is None
        process.kill()
        process.wait()
        assert try_hold(path) is not None


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"cannot write .*file/lock"), holding(tmp_path / "file" / "lock"):
        pass


def test_who_waits_for_a_lock_that_is_removed_takes_the_one_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    inside, ends = [], []

    def wait() -> None:
        with holding(path):
            inside.append(try_hold(path))  # None: the file at the path is the one that is held
        ends.append(True)

    with holding(path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.2)
        path.unlink()
        path.parent.rmdir()
    waiting.join(timeout=10)
    assert inside == [None]
    assert ends == [True]
