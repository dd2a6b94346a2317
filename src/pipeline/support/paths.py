"""Paths of the input and output files, relative to a pipeline folder (one with a dvc.yaml and a params.yaml)."""

from pathlib import Path

from pipeline.support.files import remove_unfinished_files

PROJECT = Path(__file__).parents[3]

TRAIN_TABLE = Path("data/processed/train.parquet")
TEST_TABLE = Path("data/processed/test.parquet")
SCALER = Path("models/standard_scaler.pkl")
EXPORTS = Path("models/production")

DATA_PROFILE = Path("mlartifacts/prepare/data_profile.json")
BEST_MODEL_INFO = Path("mlartifacts/training/best_model_info.json")
BEST_METRICS = Path("mlartifacts/training/best_metrics.json")
EXPERIMENTS_SUMMARY = Path("mlartifacts/training/experiments_summary.json")
PLOTS = Path("mlartifacts/training/plots")
REGISTERED_MODEL = Path("mlartifacts/registration/registered_model.json")


OUTPUTS = (TRAIN_TABLE, SCALER, EXPORTS / "latest", DATA_PROFILE, BEST_METRICS, PLOTS / "any", REGISTERED_MODEL)


def remove_unfinished_outputs(folder: Path) -> None:
    """Remove the unfinished files that killed stages left in a pipeline folder."""
    remove_unfinished_files(*(folder / output.parent for output in OUTPUTS), main_checkout_path(folder) / EXPORTS)


def main_checkout_path(path: Path) -> Path:
    """Return the absolute `path`, mapped to the main checkout if it is in a temporary clone of ``dvc exp run``.

    ``dvc exp run --temp`` and ``--queue`` work in clones below ``.dvc/tmp/exps/``, which DVC deletes afterwards:
    files that must outlive the experiment belong in the main checkout.
    """
    path = path.resolve()
    for clone in [path, *path.parents]:
        if (clone / ".dvc").is_dir() and "/.dvc/tmp/exps/" in f"{clone.as_posix()}/":
            main = clone.as_posix().partition("/.dvc/tmp/exps/")[0]
            return Path(main) / path.relative_to(clone)
    return path
