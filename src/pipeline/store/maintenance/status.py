"""Report the contents of a store and its problems."""

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.errors import StoreError
from pipeline.store.create import check_schema
from pipeline.store.database import SQLITE, LocalStore, open_for_reading, table_names
from pipeline.store.locations import former_homes
from pipeline.store.lookup import search_all
from pipeline.store.maintenance.orphans import (
    Orphans,
    experiment_folders,
    files_and_rows,
    models_and_runs,
    unfinished_files,
)
from pipeline.store.maintenance.sizes import count_files, format_size, size_of
from pipeline.store.mlflow_library import client_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_NAMES = 5  # listed for each kind of orphan


@dataclass
class Holdings:
    """The counts of a store's contents.

    Attributes
    ----------
    experiments : Counter
        Number of runs by experiment.
    runs : Counter
        Number of runs by status.
    logged_models : int
        Number of logged models.
    versions : dict of str to Counter
        For each registered model, the number of versions by stage.
    """

    experiments: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    logged_models: int = 0
    versions: dict[str, Counter[str]] = field(default_factory=dict)


def local_status(store: LocalStore) -> str:
    """Return the contents and problems of a local store as text, even if it was moved or has an older schema.

    Raises
    ------
    StoreError
        If the database is broken or not an MLflow database.
    """
    if not store.exists:
        return f"store        {store.database}: not created yet; the first `dvc repro` creates it"
    with open_for_reading(store.database) as connection:
        if "experiments" not in table_names(connection):
            raise StoreError(f"{store.database} is not an MLflow store", "set MLFLOW_TRACKING_URI to a store")
        holdings, folders = holdings_of_local(connection), experiment_folders(connection, store)
        moved = [str(home) for home in former_homes(connection, store)]
        orphans = files_and_rows(connection, store)
    if moved:  # the other checks are meaningless until the store is relocated
        orphans = [Orphans("the store was moved; it records its files in", moved, "python src/store.py relocate")]
    else:
        orphans += [*_models_and_runs(store), unfinished_files(store)]
    artifacts = f"{format_size(sum(map(size_of, folders)))} in {sum(map(count_files, folders))} files"
    sizes = [
        f"store        {store.database}",
        f"database     {format_size(size_of(store.database))}",
        f"artifacts    {'not counted, because the store was moved' if moved else artifacts}",
    ]
    return "\n".join([*sizes, *_holdings_lines(holdings), *_orphans_lines(orphans)])


def server_status(client: "MlflowClient", uri: str) -> str:
    """Return the contents and problems of a store as text, as far as its client can query them.

    For a tracking server, or a database other than SQLite.
    """
    lines = [
        f"store        {uri}",
        "sizes        known only to the server",
        *_holdings_lines(holdings_of_server(client)),
        *_orphans_lines(models_and_runs(client)),
    ]
    return "\n".join(lines)


def _models_and_runs(store: LocalStore) -> list[Orphans]:
    """Return `models_and_runs`, or that the schema is another version's: MLflow would upgrade it without asking."""
    try:
        check_schema(store)
    except StoreError as error:
        return [Orphans("the database has the schema of another MLflow version", [error.problem], error.remedy)]
    return models_and_runs(client_of(f"{SQLITE}{store.database}"))


def holdings_of_local(connection: sqlite3.Connection) -> Holdings:
    """Count the contents of a store in its database."""
    active = "lifecycle_stage = 'active'"
    holdings = Holdings()
    holdings.experiments = Counter(
        dict(
            connection.execute(
                f"""select e.name, count(run_uuid) from experiments e left join runs r
                on r.experiment_id = e.experiment_id and r.{active} where e.{active}
                group by e.experiment_id order by e.experiment_id"""  # noqa: S608 (a constant)
            ).fetchall()
        )
    )
    holdings.runs = Counter(
        dict(connection.execute(f"select status, count(*) from runs where {active} group by status"))  # noqa: S608
    )
    if "logged_models" in table_names(connection):
        query = f"select count(*) from logged_models where {active}"  # noqa: S608
        holdings.logged_models = connection.execute(query).fetchone()[0]
    holdings.versions = {name: Counter() for (name,) in connection.execute("select name from registered_models")}
    for name, stage in connection.execute("select name, current_stage from model_versions"):
        holdings.versions[name][stage] += 1
    return holdings


def holdings_of_server(client: "MlflowClient") -> Holdings:
    """Count the contents of a store through its client."""
    holdings = Holdings()
    for experiment in search_all(client.search_experiments):
        holdings.experiments[experiment.name] = 0
        for run in search_all(client.search_runs, [experiment.experiment_id], max_results=1000):
            holdings.experiments[experiment.name] += 1
            holdings.runs[run.info.status] += 1
        holdings.logged_models += len(search_all(client.search_logged_models, [experiment.experiment_id]))
    holdings.versions = {model.name: Counter() for model in search_all(client.search_registered_models)}
    for version in search_all(client.search_model_versions):
        holdings.versions.setdefault(version.name, Counter())[version.current_stage] += 1
    return holdings


def _holdings_lines(holdings: Holdings) -> list[str]:
    lines = [
        f"experiments  {len(holdings.experiments)}{_counts(holdings.experiments)}",
        f"runs         {sum(holdings.runs.values()):,}{_counts(holdings.runs)}",
        f"models       {holdings.logged_models:,} logged",
    ]
    for name, versions in sorted(holdings.versions.items()):
        lines.append(f"registered   {name}, versions: {sum(versions.values())}{_counts(versions)}")
    return lines


def _counts(counter: Counter[str]) -> str:
    texts = [f"{'no stage' if name == 'None' else name} {count:,}" for name, count in sorted(counter.items())]
    return f" ({', '.join(texts)})" if texts else ""


def _orphans_lines(orphans: list[Orphans]) -> list[str]:
    lines = []
    for kind in orphans:
        if not kind.names:
            continue
        lines.append(f"\n{kind.title} ({len(kind.names)}):")
        lines += [f"    {name}" for name in kind.names[:MAX_NAMES]]
        if len(kind.names) > MAX_NAMES:
            lines.append(f"    … and {len(kind.names) - MAX_NAMES} more")
        lines.append(f"  -> {kind.remedy}")
    return lines or ["in order     nothing is orphaned or missing"]
