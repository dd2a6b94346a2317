"""Explain predictions by SHAP values, which add up to the prediction."""

from threading import Lock
from typing import TYPE_CHECKING, Any

from pipeline.service.models.engine import to_features
from pipeline.service.models.served import ServedModel
from pipeline.service.records import Columns

if TYPE_CHECKING:
    import pandas as pd

# Explaining a neural network uses NumPy's global random generator, and the other cores are needed for predictions.
_lock = Lock()


def explain(model: ServedModel, columns: Columns, n_rows: int) -> list[dict[str, Any]]:
    """Explain the predictions of raw rows.

    Parameters
    ----------
    model : ServedModel
    columns : dict of str to list
        The model's raw columns, validated.
    n_rows : int
        At least one.

    Returns
    -------
    list of dict, length n_rows
        - ``prediction`` and ``model_version``.
        - ``unit``: "" or "log" for regression, else "log-odds" or "probability".
        - ``label``: the explained class: the positive (second) one for binary, the predicted one for multiclass
          classification, None for regression.
        - ``base_value`` and ``shap_values`` (by feature): their sum, to 32-bit precision, is the prediction or its
          logarithm for regression, and the log-odds or probability of ``label`` for binary classification. For
          multiclass classification, both map each class to its value, and the sum for each class is its probability,
          or its score, whose softmax is the probability.
    """
    from pipeline.learn.families import family

    raw, classes = model.raw, [str(label) for label in model.labels or []]
    with _lock:
        values, base_values, unit = family(model.family).explain(
            raw.model, _features(model, columns), _features(model, background(model))
        )
    explanations = []
    base_value, predictions = base_values.tolist(), model.predict(columns, n_rows).predictions
    for prediction, row in zip(predictions, values.tolist(), strict=True):
        label = classes[1] if len(classes) == 2 else str(prediction) if classes else None
        explanation: dict[str, Any] = {
            "prediction": prediction,
            "model_version": model.version,
            "unit": unit,
            "label": label,
        }
        if len(classes) > 2:
            by_class = zip(classes, zip(*row, strict=True), strict=True)
            shap_values: dict[str, Any] = {
                name: dict(zip(raw.feature_names, values_of_class, strict=True)) for name, values_of_class in by_class
            }
            explanation |= {"base_value": dict(zip(classes, base_value, strict=True)), "shap_values": shap_values}
        else:
            explanation |= {"base_value": base_value, "shap_values": dict(zip(raw.feature_names, row, strict=True))}
        explanations.append(explanation)
    return explanations


def background(model: ServedModel) -> Columns:
    """Return the background rows for SHAP: training rows, or one row of missing values if the model has no profile."""
    if model.profile is None:
        return {column: [None] for column in model.kinds}
    columns: Columns = model.profile["background"]
    return columns


def warm_up(model: ServedModel) -> None:
    """Explain one background row, because the first explanation takes seconds, mostly for imports."""
    explain(model, {column: values[:1] for column, values in background(model).items()}, 1)


def _features(model: ServedModel, columns: Columns) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(to_features(model.raw, columns), columns=model.raw.feature_names, copy=False)
