import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from search.tracking import Document, MlflowStore
from search.tracking.relocation import follow_move


def test_each_record_below_the_former_folder_names_the_present_one(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE experiments (artifact_location TEXT)")
        connection.execute("CREATE TABLE runs (artifact_uri TEXT)")
        connection.execute("INSERT INTO experiments VALUES ('file:///old_100%/artifacts'), ('file:///other')")
        connection.executemany(
            "INSERT INTO runs VALUES (?)",
            [("file:///old_100%/artifacts/1/artifacts",), ("file:///old_100%/artifacts2/1",), ("s3://bucket/1",)],
        )
    assert follow_move(database, "file:///old_100%/artifacts", "file:///new/artifacts") == 2
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT * FROM experiments").fetchall() == [
            ("file:///new/artifacts",),
            ("file:///other",),
        ]
        assert [row[0] for row in connection.execute("SELECT * FROM runs")] == [
            "file:///new/artifacts/1/artifacts",
            "file:///old_100%/artifacts2/1",
            "s3://bucket/1",
        ]
    assert follow_move(database, "file:///old_100%/artifacts", "file:///new/artifacts") == 0


@pytest.mark.slow  # a database of its own
def test_the_files_of_a_moved_folder_are_found_again(tmp_path: Path) -> None:
    before = MlflowStore(tmp_path / "before")
    run_id = before.start("moved", kind="run")
    before.keep(run_id, Document("config.json", {"seed": 1}))
    assert before.follow_move() == 0
    (tmp_path / "before").rename(tmp_path / "after")
    after = MlflowStore(tmp_path / "after", must_exist=True)
    assert after.names(run_id, "") == []
    assert after.follow_move() == 2
    assert after.document(run_id, "config.json") == {"seed": 1}
    assert after.follow_move() == 0
