"""A pipeline folder for a table: params.yaml with what is inferred of it, and dvc.yaml with the repository's stages."""

import os
import re
import shlex
import subprocess
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.features.columns import kind_of
from pipeline.params.load import check_params
from pipeline.scaffold.infer import Inferred, infer
from pipeline.scaffold.params_yaml import params_yaml
from pipeline.scaffold.target import TaskName
from pipeline.support.files import replacing
from pipeline.support.yaml import read_yaml
from pipeline.tables.read import PARQUET_SUFFIXES, read_table

ENDING = re.compile(r"\.(csv|csv\.gz|parquet|pq)$", re.IGNORECASE)
RESERVED = ("src", "tests", "benchmarks", "docs")
MOST_SHOWN = 40  # columns that are named on the screen; params.yaml names all
CHUNK = 100_000  # rows read at a time as they are written
CLASSIFICATION_PLOTS = """\
  - learning curve:
      x: round
      y:
        mlartifacts/training/plots/learning_curve.csv: [train_log_loss, valid_log_loss]
      x_label: boosting rounds
      y_label: log loss, mean of the folds
  - confusion:
      template: confusion
      x: actual
      y:
        mlartifacts/training/plots/confusion.csv: predicted
"""


@dataclass(frozen=True)
class NewPipeline:
    """A pipeline folder that was written for a table.

    Attributes
    ----------
    folder : Path
    table : Path
    n_rows, n_columns : int
        Of the table.
    inferred : Inferred
    """

    folder: Path
    table: Path
    n_rows: int
    n_columns: int
    inferred: Inferred

    @property
    def summary(self) -> str:
        """What was inferred and written, and what to do next, as lines to print."""
        here = os.path.relpath(self.folder)
        return "\n".join(
            [
                f"{self.table}: {self.n_rows:,} rows x {self.n_columns:,} columns",
                described(self.inferred),
                f"wrote {here}/params.yaml and {here}/dvc.yaml; read and change what you know better, then run:",
                f"  cd {shlex.quote(here)} && dvc repro",
            ]
        )


def new_pipeline(path: Path, target: str, into: Path | None = None, task: TaskName | None = None) -> NewPipeline:
    """Write params.yaml and dvc.yaml for a table.

    Parameters
    ----------
    path : Path
        The table: CSV or Parquet.
    target : str
        The column to predict.
    into : Path, optional
        The folder to write to, below the repository; when absent, one of the table's name in the current folder.
    task : {"regression", "classification"}, optional
        Inferred from the target when absent.

    Returns
    -------
    NewPipeline

    Raises
    ------
    PipelineError
        When the table or its target cannot be used, the folder is not below the repository, or it holds a pipeline.
    """
    if not path.exists():
        raise PipelineError(f"{path} does not exist", "name a CSV or Parquet file")
    folder = (into or Path(plain_name(ENDING.sub("", path.name)))).resolve()
    repository = _repository_of(folder)
    _check_is_free(folder, repository, is_named=into is not None)
    table = read_as_written(path)
    inferred = infer(table, target, str(path), task)
    file = path.parent.resolve() / path.name
    table_path = os.path.relpath(file, folder) if file.is_relative_to(repository) else str(file)
    params = params_yaml(inferred, table_path, plain_name(folder.name))
    check_params(read_yaml(params), str(folder / "params.yaml"))
    stages = dvc_yaml(repository, folder, inferred.task)
    with replacing(folder / "params.yaml") as params_beside, replacing(folder / "dvc.yaml") as stages_beside:
        params_beside.write_text(params, encoding="utf-8")
        stages_beside.write_text(stages, encoding="utf-8")
    return NewPipeline(folder, path, *table.shape, inferred)


def plain_name(name: str) -> str:
    """Return a name of letters, digits, ``.``, ``_`` and ``-`` only, as folders and models have."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_only).strip("._-")[:80] or "table"


def read_as_written(path: Path) -> pd.DataFrame:
    """Read a table; of a CSV, whole numbers of which some begin with zeros are read as text: they are codes."""
    table = read_table(path)
    whole = [
        name for name in table.columns if kind_of(table[name]) == "number" and (table[name].dropna() % 1 == 0).all()
    ]
    if not whole or path.name.lower().endswith(PARQUET_SUFFIXES):
        return table
    found: set[str] = set()
    parts = pd.read_csv(path, encoding="utf-8-sig", index_col=False, usecols=whole, dtype="str", chunksize=CHUNK)
    for part in parts:
        found |= {name for name in whole if part[name].str.match("0[0-9]").any()}
    return read_table(path, sorted(found)) if found else table


def dvc_yaml(repository: Path, folder: Path, task: TaskName) -> str:
    """Return the text of the repository's dvc.yaml with the paths to sources and the plots that `folder` needs."""
    source = repository / "dvc.yaml"
    text = source.read_text(encoding="utf-8")
    stages, plots, regression_plots = text.partition("\nplots:\n")
    above, importance, below = regression_plots.partition("  - importance:\n")
    if not below:
        raise PipelineError(f"{source} has no plot named importance, nor what follows it", f"git restore {source}")
    if task == "classification":
        above = CLASSIFICATION_PLOTS
    up = os.path.relpath(repository, folder)
    return re.sub(r"(?<![\w./-])src/", f"{up}/src/", stages) + plots + above + importance + below


def _repository_of(folder: Path) -> Path:
    repository = next((parent for parent in folder.parents if (parent / "src/prepare.py").exists()), None)
    if repository is None:
        raise PipelineError(
            f"{folder} is not below a clone of this project, where the stages' sources are",
            "run this in the clone, or name a folder in it: --into CLONE/NAME",
        )
    if not ((repository / ".git").exists() and (repository / ".dvc").exists()):
        raise PipelineError(
            f"{repository} is not both a git and a DVC repository",
            f"clone it with git, or run in {repository}: git init",
        )
    return repository


def _check_is_free(folder: Path, repository: Path, is_named: bool) -> None:
    other = "name another folder with --into"
    if folder.relative_to(repository).parts[0] in RESERVED:
        raise PipelineError(f"{folder} is among the project's own files", other)
    if folder.exists() and not folder.is_dir():
        raise PipelineError(f"{folder} is a file", other)
    for name in ("params.yaml", "dvc.yaml"):
        if (folder / name).exists():
            raise PipelineError(f"{folder / name} exists already", f"{other}, or move the file away")
    if folder.exists() and not is_named:
        raise PipelineError(
            f"{folder} exists already", f"if it is where the pipeline belongs, say so: --into {folder.name}"
        )
    ignored = subprocess.run(
        ["git", "check-ignore", "--quiet", folder / "dvc.yaml"], cwd=repository, capture_output=True
    )
    if ignored.returncode == 0 or not {".git", ".dvc"}.isdisjoint(folder.relative_to(repository).parts):
        raise PipelineError(f"{folder} is a folder that git ignores, and DVC with it", other)


def described(inferred: Inferred) -> str:
    """Return what was inferred as text: a table of columns, then what must be known."""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in inferred.inputs.items())
    rows = [(name, "dropped", reason) for name, reason in inferred.drop.items()]
    rows += [(name, "categorical", reason) for name, reason in inferred.categorical.items()]
    rows += [(other.column, f"split: {other.strategy}?", other.when) for other in inferred.other_splits]
    cells = [(name if name.isprintable() else repr(name), what, why) for name, what, why in rows[:MOST_SHOWN]]
    widths = [max((len(cell[place]) for cell in cells), default=0) for place in (0, 1)]
    lines = [
        f"{inferred.target}: {inferred.task} ({inferred.task_reason}), {inferred.n_rows:,} "
        f"{'' if inferred.keeps_copies else 'different '}rows with a value",
        f"inputs: {kinds}" + (" (light curves become features: flux)" if inferred.flux else ""),
        *(f"  {name:<{widths[0]}}  {what:<{widths[1]}}  {why}" for name, what, why in cells),
    ]
    if len(rows) > MOST_SHOWN:
        lines.append(f"  … and {len(rows) - MOST_SHOWN:,} more, all in params.yaml")
    if inferred.keeps_copies:
        lines.append(f"rows: {inferred.keeps_copies}; all count (dataset.drop_duplicates: false)")
    if inferred.imbalance:
        lines.append(
            f"rare: {inferred.imbalance}: it is the positive label, weighs more, and average precision chooses"
        )
    return "\n".join(lines + [f"note: {note}" for note in inferred.notes])
