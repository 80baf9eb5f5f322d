"""A folder of runs that was moved: MLflow keeps the whole path of every run's files."""

import sqlite3
from contextlib import closing
from pathlib import Path

COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def follow_move(database: Path, former: str, present: str) -> int:
    """Let every record name the present folder of artifacts where it named the former, and return how many did.

    Args:
        database: MLflow's own, in SQLite.
        former: URI of the folder where the artifacts were.
        present: URI of the folder where they are.
    """
    changed = 0
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, columns in COLUMNS.items():
            known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for column in (each for each in columns if each in known):
                where = f"{column} = ? OR substr({column}, 1, ?) = ?"
                told = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {where}"  # noqa: S608 - our names
                values = present, len(former) + 1, former, len(former) + 1, f"{former}/"
                changed += connection.execute(told, values).rowcount
    return changed
