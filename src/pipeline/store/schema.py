"""Create the tables of a new store from a dump of MLflow's schema, far faster than MLflow's migrations do."""

import sqlite3
from contextlib import closing
from pathlib import Path

SCHEMA = Path(__file__).with_name("schema.sql")  # written by .ci/write_store_schema.py
DEFAULT_EXPERIMENT = 'INSERT INTO "experiments"'  # MLflow adds it to a store that has none, with the store's location
CONSTRAINTS = ("CONSTRAINT", "CHECK", "FOREIGN KEY", "PRIMARY KEY", "UNIQUE")


def create_tables(database: Path) -> bool:
    """Create the tables of the installed MLflow in a new database.

    Returns
    -------
    bool
        False if the dump is of another MLflow version; MLflow then migrates the empty database.
    """
    import mlflow

    script = SCHEMA.read_text(encoding="utf-8")
    if not script.startswith(_title(mlflow.__version__) + "\n"):
        return False
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(script)
    return True


def dump(database: Path, version: str) -> str:
    """Return the SQL script that creates the tables and first rows of a store, as MLflow `version` has migrated it.

    Constraints and indexes are sorted, because their order differs from one run of MLflow's migrations to the next.
    """
    with closing(sqlite3.connect(database)) as connection:
        begin, *statements, commit = connection.iterdump()
    tables = [_sort_constraints(line) for line in statements if line.startswith("CREATE TABLE")]
    rows = [line for line in statements if line.startswith("INSERT") and not line.startswith(DEFAULT_EXPERIMENT)]
    others = sorted(line for line in statements if not line.startswith(("CREATE TABLE", "INSERT")))
    return "\n".join([_title(version), begin, *tables, *rows, *others, commit, ""])


def _sort_constraints(statement: str) -> str:
    """Return a CREATE TABLE statement with its constraints, one a line, sorted after the columns."""
    first, *lines, last = [line.strip() for line in statement.split("\n")]
    lines = [line.rstrip(",") for line in lines]
    columns = [line for line in lines if not line.startswith(CONSTRAINTS)]
    constraints = sorted(line for line in lines if line.startswith(CONSTRAINTS))
    return "\n".join([first, ",\n".join(f"\t{line}" for line in columns + constraints), last])


def _title(version: str) -> str:
    return f"-- Schema of MLflow {version}, written by .ci/write_store_schema.py"
