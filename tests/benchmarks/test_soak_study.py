"""A short soak of the kind that ``make soak-study`` runs for minutes."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from postgres_server import why_not

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "soak_study.py"


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["sqlite", "postgres"])
def test_each_trial_counts_once_however_often_its_worker_is_killed(storage: str) -> None:
    if storage == "postgres" and why_not():
        pytest.skip(str(why_not()))
    command = [sys.executable, SCRIPT, "--storage", storage, "--trials", "6", "--workers", "2", "--kills", "4"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert outcome.returncode == 0, outcome.stderr[-4000:]
    assert "'COMPLETE': 6" in outcome.stdout
    assert "runs {'FINISHED': 6}" in outcome.stdout
