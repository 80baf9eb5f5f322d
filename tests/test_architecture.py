"""The layout is a promise: the walls hold, a breach is seen, and files stay small."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sbldm", "evaluation", "search")
LONGEST_FILE_LINES = 250
LONGEST_DOORBELL_LINES = 600  # cli.py holds the options of every command


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, env={"PYTHONPATH": "."})


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "file, breach",
    [
        ("evaluation/types.py", "import sbldm.spec"),
        ("sbldm/spec.py", "import evaluation.types"),
        ("sbldm/spec.py", "import optuna"),
        ("evaluation/types.py", "import rich"),
        ("search/study.py", "import mlflow"),
        ("sbldm/diffusion/process.py", "import sbldm.training.loop"),
    ],
)
def test_a_planted_breach_of_a_wall_is_refused(copy: Path, file: str, breach: str) -> None:
    with (copy / file).open("a") as source:
        source.write(f"\n{breach}\n")
    outcome = lint_imports(copy)
    assert outcome.returncode == 1
    assert "BROKEN" in outcome.stdout


def test_the_walls_hold_as_they_stand(copy: Path) -> None:
    outcome = lint_imports(copy)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_no_source_file_has_outgrown_one_idea() -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len((ROOT / "cli.py").read_text().splitlines()) <= LONGEST_DOORBELL_LINES
    long = {
        str(path.relative_to(ROOT)): n
        for path in sources
        if (n := len(path.read_text().splitlines())) > LONGEST_FILE_LINES
    }
    assert not long


def test_the_metrics_and_the_model_load_no_heavy_stranger() -> None:
    heavy = "timm", "lpips", "monai", "torch_fidelity", "matplotlib", "mlflow", "optuna", "sklearn", "nilearn"
    code = f"import sys, sbldm.data, sbldm.diffusion, evaluation; print([m for m in {heavy!r} if m in sys.modules])"
    outcome = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"
