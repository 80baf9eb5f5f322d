"""Time and memory against side and batch: a law of the operations, and a whole row, too small to mean much."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import growth


def test_operations_grow_as_the_batch() -> None:
    one, two = (growth.measure("quick", "network", 32, batch) for batch in (1, 2))
    assert two.flops == 2 * one.flops > 0
    assert two.foretold_bytes > one.foretold_bytes
    assert one.seconds > 0


def test_a_row_is_measured_in_a_process_of_its_own() -> None:
    asked = [sys.executable, growth.__file__, "--sides", "32", "--batches", "2", "--work", "sampling"]
    out = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()
    head, _, row = [[cell.strip() for cell in line.strip("|").split("|")] for line in out]
    assert head[:3] == ["work", "side", "batch"]
    assert row[:3] == ["sampling", "32", "2"]
    assert float(row[3]) > 0
    assert row[4] == row[6] == "", "no forecast is made of sampling"
