"""What is told of the code: versions and a revision, never a place."""

import subprocess
from pathlib import Path

import pytest

from search.provenance import environment


def test_the_environment_is_versions_and_a_revision() -> None:
    facts = environment()
    assert {"sbldm.version", "git.revision", "version.python", "version.torch", "version.numpy"} <= set(facts)
    assert all("/" not in value for value in facts.values())


def test_the_revision_is_that_of_the_code_wherever_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for arguments in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "own"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    before = environment()["git.revision"]
    monkeypatch.chdir(tmp_path)
    assert environment()["git.revision"] == before


def test_code_that_a_repository_does_not_hold_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setattr("search.provenance.__file__", str(tmp_path / "provenance.py"))
    assert environment()["git.revision"] == "unknown"
