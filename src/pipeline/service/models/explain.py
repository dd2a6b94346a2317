"""What each feature did to a prediction: SHAP values that add up to it."""

from threading import Lock
from typing import TYPE_CHECKING, Any

from pipeline.service.answered import Columns
from pipeline.service.models.engine import features_of
from pipeline.service.models.served import ServedModel

if TYPE_CHECKING:
    import pandas as pd

# A net's values are drawn with NumPy's one generator; and who explains leaves the other cores to predictions.
_one_at_a_time = Lock()


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
        ``prediction``, ``model_version``, ``unit`` ("" of a regression, else "log-odds" or "probability"), ``label``
        (None of a regression; of two labels the second, the positive one; of more the predicted one),
        ``base_value`` and ``shap_values`` by feature. These add up, to the precision of 32 bits, to the prediction; of
        two labels to the log-odds or probability of ``label``; of more labels both are dicts by label, and the sum of
        each is its score, of which the softmax is the probability, or its probability.
    """
    from pipeline.learn.families import family

    raw, labels = model.raw, [str(label) for label in model.labels or []]
    with _one_at_a_time:
        values, base_values, unit = family(model.family).explain(
            raw.model, _features(model, columns), _features(model, background(model))
        )
    bases, found = base_values.tolist(), values.tolist()
    answers = []
    for prediction, row in zip(model.predict(columns, n_rows).predictions, found, strict=True):
        label = labels[1] if len(labels) == 2 else str(prediction) if labels else None
        answer: dict[str, Any] = {
            "prediction": prediction,
            "model_version": model.version,
            "unit": unit,
            "label": label,
        }
        if len(labels) > 2:
            of_labels = zip(labels, zip(*row, strict=True), strict=True)
            shap_values: dict[str, Any] = {
                of: dict(zip(raw.feature_names, each, strict=True)) for of, each in of_labels
            }
            answer |= {"base_value": dict(zip(labels, bases, strict=True)), "shap_values": shap_values}
        else:
            answer |= {"base_value": bases, "shap_values": dict(zip(raw.feature_names, row, strict=True))}
        answers.append(answer)
    return answers


def background(model: ServedModel) -> Columns:
    """Return raw rows that stand for "not known": training rows, or of a model without them one of missing values."""
    if model.profile is None:
        return {column: [None] for column in model.kinds}
    found: Columns = model.profile["background"]
    return found


def warm(model: ServedModel) -> None:
    """Import what explains this model, and explain a row of the background: the first time takes seconds."""
    explain(model, {column: values[:1] for column, values in background(model).items()}, 1)


def _features(model: ServedModel, columns: Columns) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(features_of(model.raw, columns), columns=model.raw.feature_names, copy=False)
