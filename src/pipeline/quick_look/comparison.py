"""The results of a quick look, and the table that compares them."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.store.ui import how_to_view
from pipeline.support.text import format_table
from pipeline.train.evaluation import Evaluation
from pipeline.train.fit import FitResult

METRICS = {
    "regression": ("test_rmse", "test_mae", "test_r2", "cv_rmse_mean"),
    "classification": (
        "accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "average_precision",
        "log_loss",
        "cv_log_loss_mean",
    ),
}


@dataclass(frozen=True)
class FamilyResult:
    """A fitted family, the time it took in seconds, and its MLflow run if it was recorded."""

    family: str
    fitted: FitResult
    seconds: float
    run_id: str | None


@dataclass(frozen=True)
class QuickLookResult:
    """The results of a quick look.

    Attributes
    ----------
    results : list of FamilyResult
        One for each requested family, in that order.
    evaluation : Evaluation
        The metrics by which they are compared.
    experiment_name : str, optional
        The MLflow experiment of the runs.
    output : Path, optional
        The folder that the model was written to.
    """

    results: list[FamilyResult]
    evaluation: Evaluation
    experiment_name: str | None
    output: Path | None

    @property
    def summary(self) -> str:
        """The metrics, and where the runs and the model are, as text to print."""
        lines = [comparison_table(self)]
        if self.experiment_name:
            lines.append(
                f"recorded in the MLflow experiment {self.experiment_name}; to view it: "
                f"{how_to_view(self.experiment_name)}"
            )
        if self.output:
            lines.append(f"wrote the model to {self.output}")
        return "\n".join(lines)


def comparison_table(comparison: QuickLookResult) -> str:
    """Return a table with a column for each family; an asterisk marks the best cross-validation score."""
    results, evaluation = comparison.results, comparison.evaluation
    task = "classification" if evaluation.task.labels else "regression"
    best = min(results, key=lambda result: evaluation.sort_key(result.fitted.metrics))
    header = [
        "metric",
        *(f"{result.family} *" if result is best and len(results) > 1 else result.family for result in results),
    ]
    names = [name for name in METRICS[task] if name in results[0].fitted.metrics]
    rows = [[name, *(_format_number(result.fitted.metrics[name]) for result in results)] for name in names]
    baseline = "baseline_log_loss" if task == "classification" else "baseline_rmse"
    rows.append([baseline, *(_format_number(result.fitted.metrics[baseline]) for result in results)])
    rows.append(["features", *(str(len(result.fitted.features)) for result in results)])
    rows.append(["seconds", *(f"{result.seconds:.1f}" for result in results)])
    table = "\n" + format_table(header, rows)
    if len(results) > 1:
        n_folds = len(best.fitted.fold_metrics)
        table += f"\n* best by {evaluation.chosen_by} over {n_folds} folds of the training rows"
    return table


def _format_number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
