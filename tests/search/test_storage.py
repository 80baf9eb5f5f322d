"""What holds wherever a study is kept; what a PostgreSQL server adds is in test_postgres.py."""

from pathlib import Path

import pytest

import search.storage
from sbldm.errors import ConfigError, StorageError
from search.queue import TrialQueue
from search.storage import check_storage
from search.study_locks import FileLocks, StudyLocks


def test_file_locks_are_study_locks(tmp_path: Path) -> None:
    assert isinstance(FileLocks(tmp_path), StudyLocks)


@pytest.mark.parametrize("kind", ["nfs4", "cifs"])
def test_a_sqlite_study_on_a_network_folder_is_refused_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(search.storage, "file_system", lambda path: kind)
    with pytest.raises(StorageError, match=rf"SQLite file on {kind}.*--mlruns.*--storage"):
        TrialQueue(tmp_path / "mlruns", "study")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["sqlite:///studies.db", "mysql://anna:hunter2@s/db", "studies", "postgresql:/s/db", ""]
)
def test_another_kind_of_address_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    for refuse in (lambda: check_storage(url), lambda: TrialQueue(tmp_path / "mlruns", "study", url)):
        with pytest.raises(ConfigError, match="storage must be postgresql://") as refusal:
            refuse()
        assert "hunter2" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_no_address_is_the_file_of_this_machine() -> None:
    check_storage(None)


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://anna:hunter2@/studies?host={tmp_path}"  # no socket in this folder
    with pytest.raises(StorageError, match=r"postgresql://anna:\*\*\*@/studies.*does not answer") as refusal:
        check_storage(url)
    assert "hunter2" not in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert refusal.value.__cause__ is None
