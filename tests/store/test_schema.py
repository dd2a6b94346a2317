"""The schema of a new store: the same as that of MLflow's own migrations."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow.store.db.utils
import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Engine, create_engine, inspect

from pipeline.store.create import check_schema, ensure_database
from pipeline.store.database import LocalStore
from pipeline.store.schema import SCHEMA, dump


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database that MLflow has created and migrated."""
    folder = tmp_path_factory.mktemp("migrated")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", folder.as_uri()).engine.dispose()
    return folder / "mlflow.db"


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the database of a store that this project has created."""
    store = LocalStore(tmp_path_factory.mktemp("created") / "mlflow.db")
    ensure_database(store)
    check_schema(store)
    return store.database


def test_the_dump_is_that_of_the_installed_mlflow(migrated: Path) -> None:
    assert SCHEMA.read_text() == dump(migrated, mlflow.__version__), "run: python .ci/write_store_schema.py"


def test_new_store_has_the_definitions_of_mlflow_migrations(created: Path, migrated: Path) -> None:
    """Equal definitions mean equal tables, columns, keys, constraints and their names, indexes and triggers."""
    assert dump(created, "") == dump(migrated, "")
    assert dump(created, "").count("CREATE") > 100


def test_new_store_has_the_rows_of_mlflow_migrations(created: Path, migrated: Path) -> None:
    rows = rows_of(created)
    assert rows == rows_of(migrated)
    assert set(rows) == {"alembic_version", "experiments", "workspaces"}


def test_sqlalchemy_reads_the_same_schema(created: Path, migrated: Path) -> None:
    """MLflow's later migrations change tables through what SQLAlchemy reads, with constraints by name."""
    assert reflected(create_engine(f"sqlite:///{created}")) == reflected(create_engine(f"sqlite:///{migrated}"))


def test_mlflow_accepts_and_upgrades_a_new_store(created: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mlflow.db"
    shutil.copy(created, copy)
    engine = create_engine(f"sqlite:///{copy}")
    mlflow.store.db.utils._verify_schema(engine)
    mlflow.store.db.utils._upgrade_db(engine)
    assert dump(copy, "") == dump(created, "")


def test_another_mlflow_version_migrates(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "schema.sql"
    other.write_text(SCHEMA.read_text().replace(mlflow.__version__, "0.0.0", 1))
    monkeypatch.setattr("pipeline.store.schema.SCHEMA", other)
    store = LocalStore(tmp_path / "mlflow.db")
    ensure_database(store)
    check_schema(store)
    assert dump(store.database, "") == dump(migrated, "")


def rows_of(database: Path) -> dict[str, list[Any]]:
    """Return the rows of all tables that have any, without the location and times of the experiment Default."""
    with closing(sqlite3.connect(database)) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        rows = {table: connection.execute(f'select * from "{table}"').fetchall() for table in tables}
    rows["experiments"] = [[row[0], row[1], row[3], row[6]] for row in rows["experiments"]]
    return {table: found for table, found in rows.items() if found}


def reflected(engine: Engine) -> dict[str, list[str]]:
    """Return all that SQLAlchemy reads of each table, in an order that does not depend on that of constraints."""
    tables, read = inspect(engine), {}
    for name in tables.get_table_names():
        constraints = [
            *tables.get_foreign_keys(name),
            *tables.get_unique_constraints(name),
            *tables.get_check_constraints(name),
            *tables.get_indexes(name),
        ]
        in_order = [*tables.get_columns(name), tables.get_pk_constraint(name)]
        read[name] = [*map(repr, in_order), *sorted(map(repr, constraints))]
    return read
