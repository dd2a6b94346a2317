"""Create a pipeline folder for a table: params.yaml with the inferred settings, and dvc.yaml with the stages."""

import os
import re
import shlex
import subprocess
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.features.columns import infer_kind
from pipeline.params.load import check_params
from pipeline.scaffold.infer import InferredSettings, infer
from pipeline.scaffold.params_yaml import params_yaml
from pipeline.scaffold.target import TaskName
from pipeline.support.files import atomic_write
from pipeline.support.yaml import read_yaml
from pipeline.tables.csv_files import read_csv
from pipeline.tables.files import is_parquet, is_pattern, pattern_folder, table_files
from pipeline.tables.read import read_table
from pipeline.tables.table_report import REPORT_FILE, table_report

TABLE_SUFFIX = re.compile(r"\.(csv|csv\.gz|parquet|pq)$", re.IGNORECASE)
RESERVED = ("src", "tests", "benchmarks", "docs")
MAX_PRINTED_COLUMNS = 40  # params.yaml has all of them
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
    """A pipeline folder created for a table.

    Attributes
    ----------
    folder : Path
    table : Path
    n_rows, n_columns : int
        The size of the table.
    inferred : InferredSettings
    report : Path, optional
        A page that summarizes the table.
    """

    folder: Path
    table: Path
    n_rows: int
    n_columns: int
    inferred: InferredSettings
    report: Path | None

    @property
    def summary(self) -> str:
        """The inferred settings, the created files and the next step, as text to print."""
        here = os.path.relpath(self.folder)
        return "\n".join(
            [
                f"{self.table}: {self.n_rows:,} rows x {self.n_columns:,} columns",
                describe(self.inferred),
                *([f"wrote {os.path.relpath(self.report)}: open it in a browser"] if self.report else []),
                f"created {here}/params.yaml and {here}/dvc.yaml; review the settings, then run:",
                f"  cd {shlex.quote(here)} && dvc repro",
            ]
        )


def new_pipeline(
    path: Path, target: str, into: Path | None = None, task: TaskName | None = None, with_report: bool = False
) -> NewPipeline:
    """Create a pipeline folder with params.yaml and dvc.yaml for a table.

    Parameters
    ----------
    path : Path
        The table: CSV or Parquet.
    target : str
        The column to predict.
    into : Path, optional
        The folder to create in the repository; by default named after the table, in the current folder.
    task : {"regression", "classification"}, optional
        Inferred from the target by default.
    with_report : bool
        Whether to also write a page that summarizes the table.

    Returns
    -------
    NewPipeline

    Raises
    ------
    PipelineError
        If the table or its target cannot be used, or the folder is outside the repository or already has a pipeline.
    """
    if not path.exists() and not is_pattern(path):
        raise PipelineError(f"{path} does not exist", "give the path of a CSV or Parquet file")
    named = pattern_folder(path).resolve() if is_pattern(path) else path
    folder = (into or Path(plain_name(TABLE_SUFFIX.sub("", named.name)))).resolve()
    repository = _repository_of(folder)
    _check_is_free(folder, repository, is_named=into is not None)
    table = read_table_with_codes(path)
    inferred = infer(table, target, str(path), task)
    file = path.parent.resolve() / path.name
    table_path = os.path.relpath(file, folder) if file.is_relative_to(repository) else str(file)
    params = params_yaml(inferred, table_path, plain_name(folder.name))
    check_params(read_yaml(params), str(folder / "params.yaml"))
    stages = dvc_yaml(repository, folder, inferred.task)
    if is_pattern(path):  # DVC has no patterns
        stages = stages.replace("${dataset.path}", str(pattern_folder(Path(table_path))))
    report = folder / REPORT_FILE if with_report else None
    page = table_report(table, target, path.name, len(table)) if report else ""
    with atomic_write(folder / "params.yaml") as params_beside, atomic_write(folder / "dvc.yaml") as stages_beside:
        params_beside.write_text(params, encoding="utf-8")
        stages_beside.write_text(stages, encoding="utf-8")
    if report:
        with atomic_write(report) as report_beside:
            report_beside.write_text(page, encoding="utf-8")
    return NewPipeline(folder, path, *table.shape, inferred, report)


def plain_name(name: str) -> str:
    """Return a name for folders and models, with only letters, digits, ``.``, ``_`` and ``-``."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_only).strip("._-")[:80] or "table"


def read_table_with_codes(path: Path) -> pd.DataFrame:
    """Return a table, where integer columns with leading zeros in a CSV are read as text, because they are codes."""
    table = read_table(path)
    integer_columns = [
        name for name in table.columns if infer_kind(table[name]) == "number" and (table[name].dropna() % 1 == 0).all()
    ]
    files = [file for file in table_files(path) if not is_parquet(file)]
    codes: set[str] = set()
    for file in files if integer_columns else []:
        for part in read_csv(file, dict.fromkeys(integer_columns, "str"), in_parts=True):
            codes |= {name for name in integer_columns if part[name].str.match("0[0-9]").any()}
    return read_table(path, sorted(codes)) if codes else table


def dvc_yaml(repository: Path, folder: Path, task: TaskName) -> str:
    """Return the text of the repository's dvc.yaml, with source paths and plots adapted to `folder` and the task."""
    source = repository / "dvc.yaml"
    text = source.read_text(encoding="utf-8")
    stages, plots, regression_plots = text.partition("\nplots:\n")
    above, importance, below = regression_plots.partition("  - importance:\n")
    if not below:
        raise PipelineError(f"{source} has no plot named importance with other plots below it", f"git restore {source}")
    if task == "classification":
        above = CLASSIFICATION_PLOTS
    up = os.path.relpath(repository, folder)
    return re.sub(r"(?<![\w./-])src/", f"{up}/src/", stages) + plots + above + importance + below


def _repository_of(folder: Path) -> Path:
    repository = next((parent for parent in folder.parents if (parent / "src/prepare.py").exists()), None)
    if repository is None:
        raise PipelineError(
            f"{folder} is not inside a clone of this project",
            "run this in the clone, or choose a folder in it: --into CLONE/NAME",
        )
    if not ((repository / ".git").exists() and (repository / ".dvc").exists()):
        raise PipelineError(
            f"{repository} is not both a git and a DVC repository",
            f"clone it with git, or run in {repository}: git init",
        )
    return repository


def _check_is_free(folder: Path, repository: Path, is_named: bool) -> None:
    remedy = "choose another folder with --into"
    if folder.relative_to(repository).parts[0] in RESERVED:
        raise PipelineError(f"{folder} is reserved for the project's own files", remedy)
    if folder.exists() and not folder.is_dir():
        raise PipelineError(f"{folder} is a file", remedy)
    for name in ("params.yaml", "dvc.yaml"):
        if (folder / name).exists():
            raise PipelineError(f"{folder / name} already exists", f"{remedy}, or move the file away")
    if folder.exists() and not is_named:
        raise PipelineError(f"{folder} already exists", f"to create the pipeline in it, use --into {folder.name}")
    ignored = subprocess.run(
        ["git", "check-ignore", "--quiet", folder / "dvc.yaml"], cwd=repository, capture_output=True
    )
    if ignored.returncode == 0 or not {".git", ".dvc"}.isdisjoint(folder.relative_to(repository).parts):
        raise PipelineError(f"{folder} is ignored by git, and therefore by DVC", remedy)


def describe(inferred: InferredSettings) -> str:
    """Return inferred settings as text: a table of columns, followed by notes."""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in inferred.inputs.items())
    rows = [(name, "dropped", reason) for name, reason in inferred.drop.items()]
    rows += [(name, "categorical", reason) for name, reason in inferred.categorical.items()]
    rows += [(name, key, reason) for key, columns in inferred.features.items() for name, (_, reason) in columns.items()]
    rows += [(split.column, f"split: {split.strategy}?", split.reason) for split in inferred.alternative_splits]
    cells = [
        (name if name.isprintable() else repr(name), use, reason) for name, use, reason in rows[:MAX_PRINTED_COLUMNS]
    ]
    widths = [max((len(cell[number]) for cell in cells), default=0) for number in (0, 1)]
    lines = [
        f"{inferred.target}: {inferred.task} ({inferred.task_reason}), {inferred.n_rows:,} "
        f"{'' if inferred.duplicates_reason else 'different '}rows with a value",
        f"inputs: {kinds}" + (" (light curves are turned into features: flux)" if inferred.flux else ""),
        *(f"  {name:<{widths[0]}}  {use:<{widths[1]}}  {reason}" for name, use, reason in cells),
    ]
    if len(rows) > MAX_PRINTED_COLUMNS:
        lines.append(f"  … and {len(rows) - MAX_PRINTED_COLUMNS:,} more, all in params.yaml")
    if inferred.duplicates_reason:
        lines.append(f"rows: {inferred.duplicates_reason}; all are kept (dataset.drop_duplicates: false)")
    if inferred.n_duplicates:
        verbs = ("equals", "is") if inferred.n_duplicates == 1 else ("equal", "are")
        lines.append(
            f"rows: {inferred.n_duplicates:,} {verbs[0]} an earlier row and {verbs[1]} dropped "
            "(dataset.drop_duplicates: true)"
        )
    if inferred.imbalance:
        lines.append(
            f"imbalanced: {inferred.imbalance}; it is the positive class, predicted from the probability with the "
            "greatest F1 in cross-validation (evaluate.threshold: f1)"
        )
    return "\n".join(lines + [f"note: {note}" for note in inferred.notes])
