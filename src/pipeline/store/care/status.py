"""What a store holds, and what in it needs care."""

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.errors import StoreError
from pipeline.store.care.orphans import (
    Orphans,
    experiment_folders,
    files_and_rows,
    models_and_runs,
    unfinished_files,
)
from pipeline.store.care.sizes import count_files, in_words, size_of
from pipeline.store.create import check_schema
from pipeline.store.database import SQLITE, LocalStore, reading, tables_of
from pipeline.store.locations import former_homes
from pipeline.store.lookup import pages
from pipeline.store.mlflow_library import client_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

SHOWN = 5  # names of one kind


@dataclass
class Holdings:
    """What a store holds.

    Attributes
    ----------
    experiments : Counter
        Runs of each experiment.
    runs : Counter
        Runs of each status.
    logged_models : int
    versions : dict of str to Counter
        Versions in each stage, for each registered model.
    """

    experiments: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    logged_models: int = 0
    versions: dict[str, Counter[str]] = field(default_factory=dict)


def status_of_local(store: LocalStore) -> str:
    """Return the state of a local store, moved or of an older MLflow though it be, as text.

    Raises
    ------
    StoreError
        When there is none, or it is broken.
    """
    if not store.exists:
        return f"store        {store.database}: not made yet; the first `dvc repro` makes it"
    with reading(store.database) as connection:
        if "experiments" not in tables_of(connection):
            raise StoreError(f"{store.database} is no MLflow store", "name one with MLFLOW_TRACKING_URI")
        holdings, folders = holdings_of_local(connection), experiment_folders(connection, store)
        moved = [str(home) for home in former_homes(connection, store)]
        orphans = files_and_rows(connection, store)
    if moved:  # nothing else can be told before that is mended
        orphans = [Orphans("the store was moved; it records its files in", moved, "python src/store.py relocate")]
    else:
        orphans += [*_models_and_runs(store), unfinished_files(store)]
    held = f"{in_words(sum(map(size_of, folders)))} in {sum(map(count_files, folders))} files"
    sizes = [
        f"store        {store.database}",
        f"database     {in_words(size_of(store.database))}",
        f"artifacts    {'not counted, as the store was moved' if moved else held}",
    ]
    return "\n".join([*sizes, *_lines(holdings), *_care(orphans)])


def status_of_server(client: "MlflowClient", uri: str) -> str:
    """Return what the client of a server, or of a database of another kind, can tell of a store, as text."""
    note = "sizes        only the server knows them"
    return "\n".join(
        [f"store        {uri}", note, *_lines(holdings_of_server(client)), *_care(models_and_runs(client))]
    )


def _models_and_runs(store: LocalStore) -> list[Orphans]:
    """Return what MLflow is asked for; of a database of another MLflow, which it would upgrade, that it is one."""
    try:
        check_schema(store)
    except StoreError as error:
        return [Orphans("the database is of another MLflow", [error.problem], error.remedy)]
    return models_and_runs(client_of(f"{SQLITE}{store.database}"))


def holdings_of_local(connection: sqlite3.Connection) -> Holdings:
    """Count what a database holds."""
    active = "lifecycle_stage = 'active'"
    found = Holdings()
    found.experiments = Counter(
        dict(
            connection.execute(
                f"""select e.name, count(run_uuid) from experiments e left join runs r
                on r.experiment_id = e.experiment_id and r.{active} where e.{active}
                group by e.experiment_id order by e.experiment_id"""  # noqa: S608 (a constant)
            ).fetchall()
        )
    )
    found.runs = Counter(
        dict(connection.execute(f"select status, count(*) from runs where {active} group by status"))  # noqa: S608
    )
    if "logged_models" in tables_of(connection):
        query = f"select count(*) from logged_models where {active}"  # noqa: S608
        found.logged_models = connection.execute(query).fetchone()[0]
    found.versions = {name: Counter() for (name,) in connection.execute("select name from registered_models")}
    for name, stage in connection.execute("select name, current_stage from model_versions"):
        found.versions[name][stage] += 1
    return found


def holdings_of_server(client: "MlflowClient") -> Holdings:
    """Count what a store holds, through its client."""
    found = Holdings()
    for experiment in pages(client.search_experiments):
        found.experiments[experiment.name] = 0
        for run in pages(client.search_runs, [experiment.experiment_id], max_results=1000):
            found.experiments[experiment.name] += 1
            found.runs[run.info.status] += 1
        found.logged_models += len(pages(client.search_logged_models, [experiment.experiment_id]))
    found.versions = {model.name: Counter() for model in pages(client.search_registered_models)}
    for version in pages(client.search_model_versions):
        found.versions.setdefault(version.name, Counter())[version.current_stage] += 1
    return found


def _lines(holdings: Holdings) -> list[str]:
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


def _care(orphans: list[Orphans]) -> list[str]:
    lines = []
    for kind in orphans:
        if not kind.names:
            continue
        lines.append(f"\n{kind.what} ({len(kind.names)}):")
        lines += [f"    {name}" for name in kind.names[:SHOWN]]
        if len(kind.names) > SHOWN:
            lines.append(f"    … and {len(kind.names) - SHOWN} more")
        lines.append(f"  -> {kind.remedy}")
    return lines or ["in order     nothing is orphaned or missing"]
