"""What quick looks at a table found, as a printed table."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.support.text import ruled
from pipeline.train.evaluation import Evaluation
from pipeline.train.fit import Fitted

SHOWN = {
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
class Look:
    """A fitted family, how long it took in seconds, and the MLflow run that holds it."""

    family: str
    fitted: Fitted
    seconds: float
    run_id: str | None


@dataclass(frozen=True)
class Looks:
    """What a quick look found.

    Attributes
    ----------
    looks : list of Look
        The families in the order asked for.
    evaluation : Evaluation
        How they are compared.
    experiment_name : str, optional
        Of MLflow, where the runs are recorded.
    output : Path, optional
        The folder that the model was written to.
    """

    looks: list[Look]
    evaluation: Evaluation
    experiment_name: str | None
    output: Path | None

    @property
    def summary(self) -> str:
        """The metrics, and where runs and model are, as lines to print."""
        lines = [comparison(self)]
        if self.experiment_name:
            recorded = f"recorded in the MLflow experiment {self.experiment_name}"
            lines.append(f"{recorded}; look: python src/run_mlflow.py --ui")
        if self.output:
            lines.append(f"wrote the model to {self.output}")
        return "\n".join(lines)


def comparison(found: Looks) -> str:
    """Return the metrics as a table, a column for each family, the best by cross-validation marked."""
    looks, evaluation = found.looks, found.evaluation
    task = "classification" if evaluation.task.labels else "regression"
    best = min(looks, key=lambda one: evaluation.rank(one.fitted.metrics))
    header = ["metric", *(f"{one.family} *" if one is best and len(looks) > 1 else one.family for one in looks)]
    names = [name for name in SHOWN[task] if name in looks[0].fitted.metrics]
    rows = [[name, *(_number(one.fitted.metrics[name]) for one in looks)] for name in names]
    baseline = "baseline_log_loss" if task == "classification" else "baseline_rmse"
    rows.append([baseline, *(_number(one.fitted.metrics[baseline]) for one in looks)])
    rows.append(["features", *(str(len(one.fitted.features)) for one in looks)])
    rows.append(["seconds", *(f"{one.seconds:.1f}" for one in looks)])
    table = "\n" + ruled(header, rows)
    if len(looks) > 1:
        n_folds = len(best.fitted.of_folds)
        table += f"\n* best by {evaluation.chosen_by} (over {n_folds} folds of the training rows)"
    return table


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
