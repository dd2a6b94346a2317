"""Stage 1, prepare: turn a raw table into validated training and test tables, a scaler and a profile."""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import TableError
from pipeline.params.schema import DatasetParams, FeaturesParams
from pipeline.prepare.contract import selected_columns
from pipeline.prepare.profile import profile_of
from pipeline.prepare.scaler import fit_scaler
from pipeline.prepare.scan import scan
from pipeline.prepare.write import merge_categories, write_rows
from pipeline.support.files import atomic_write, sha256, temporary_folder
from pipeline.support.paths import DATA_PROFILE, SCALER, TEST_TABLE, TRAIN_TABLE, remove_unfinished_outputs
from pipeline.support.threads import Runner, in_threads
from pipeline.tables.appended_predictions import appended_predictions
from pipeline.tables.download import local_table
from pipeline.tables.example_rows import example_rows
from pipeline.tables.files import is_pattern, table_files, table_sha256
from pipeline.tables.parts import open_parts

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler


@dataclass(frozen=True)
class Prepared:
    """The result of stage prepare.

    Attributes
    ----------
    profile : dict
        Rows, columns and SHA-256 sums, as written to the data profile.
    n_columns : int
        Number of columns of the raw table.
    """

    profile: dict[str, Any]
    n_columns: int

    @property
    def summary(self) -> str:
        """The lines to print: what was read, dropped and written."""
        rows, dataset = self.profile["rows"], self.profile["dataset"]
        return "\n".join(
            [
                f"prepare: {dataset['path']}, {rows['raw']:,} rows x {self.n_columns} columns",
                f"prepare: dropped {rows['duplicates_dropped']:,} exact duplicates and "
                f"{rows['without_target_dropped']:,} rows without a value in {dataset['target']!r}",
                f"prepare: {rows['train']:,} training and {rows['test']:,} test rows in {TRAIN_TABLE.parent}",
            ]
        )


def prepare(
    params: DatasetParams, folder: Path, run: Runner = in_threads, features: FeaturesParams | None = None
) -> Prepared:
    """Validate and split the table at ``dataset.path``, and write the results.

    The table is read in parts, so that it may be larger than memory. The results do not depend on how it is cut.

    Parameters
    ----------
    params : DatasetParams
        The section ``dataset`` of params.yaml.
    folder : Path
        The pipeline folder. The training and test tables, the scaler fitted on the numeric columns of the training
        table, and the profile are written below it.
    run : callable, optional
        `in_threads`, or `Cluster.run` to work on a cluster, whose workers must see the folder under an absolute path.
    features : FeaturesParams, optional
        The section ``features``, which names columns that are not one-hot encoded.

    Returns
    -------
    Prepared

    Raises
    ------
    TableError, FormulaError
        When the table is invalid. Nothing is written.
    """
    remove_unfinished_outputs(folder)
    features = features or FeaturesParams()
    encoded = features.encoded_columns
    with ExitStack() as stack:
        copies = stack.enter_context(temporary_folder(folder / TRAIN_TABLE.parent / "parts"))
        source = stack.enter_context(local_table(params.path, folder, copies / "source"))
        _check_pattern(source, folder)
        table = open_parts(source, params.categorical or [], copies)
        columns = selected_columns(list(table.types), params, features)
        appended = appended_predictions(source)
        scanned = scan(table, columns, params, appended, run, encoded)
        profile_file = stack.enter_context(atomic_write(folder / DATA_PROFILE))
        scaler_file = stack.enter_context(atomic_write(folder / SCALER))
        rows = {folder / TRAIN_TABLE: scanned.train, folder / TEST_TABLE: scanned.test}
        train, test = write_rows(table, columns, params, rows, stack, run)
        parts = [*train.parts, *test.parts]
        summaries = {name: [part.summaries[name] for part in parts] for name in parts[0].summaries}
        inputs = {name: found[0].dtype for name, found in summaries.items() if name not in params.non_features(columns)}
        categories = {name: texts for name, texts in merge_categories(train.parts).items() if name not in encoded}
        example = example_rows({name: dtype for name, dtype in inputs.items() if name not in encoded}, categories)
        scaler = fit_scaler([part.path for part in train.parts], example, params, len(scanned.train), run, encoded)
        n_train, n_test = len(scanned.train), len(scanned.test)
        profile = {
            "dataset": params.model_dump(),
            "rows": {
                "raw": table.n_rows,
                "duplicates_dropped": table.n_rows - scanned.n_distinct,
                "without_target_dropped": scanned.n_distinct - n_train - n_test,
                "train": n_train,
                "test": n_test,
            },
            "columns": {name: profile_of(found) for name, found in summaries.items()},
            "categories": categories,
            "scaler": _means_and_variances(scaler),
            "sha256": {"raw": table_sha256(source)}
            | ({"own": appended.own_sha256} if appended.own_sha256 else {})
            | {"train": sha256(train.path), "test": sha256(test.path)},
        }
        _write(scaler, scaler_file, profile, profile_file)
    return Prepared(profile, len(table.types))


def _check_pattern(source: Path, folder: Path) -> None:
    """Raise if a pattern also matches a table of an earlier run."""
    prepared = (folder / TRAIN_TABLE).parent.resolve()
    for file in table_files(source) if is_pattern(source) else []:
        if file.resolve().is_relative_to(prepared):
            raise TableError(
                f"the pattern dataset.path in params.yaml matches {file}, which this stage has written",
                "use a pattern that only matches your table, such as data/raw/**/*.parquet",
            )


def _write(scaler: "StandardScaler", scaler_file: Path, profile: dict[str, Any], profile_file: Path) -> None:
    import joblib

    joblib.dump(scaler, scaler_file)
    text = json.dumps(profile, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    profile_file.write_text(text, encoding="utf-8")


def _means_and_variances(scaler: "StandardScaler") -> dict[str, list[float]]:
    """Return each column's mean and variance to twelve digits, so that training need not unpickle the scaler."""
    return {
        str(name): [float(f"{mean:.12g}"), float(f"{variance:.12g}")]
        for name, mean, variance in zip(scaler.feature_names_in_, scaler.mean_, scaler.var_, strict=True)
    }
