"""The reference profile of a model, a JSON file that drift monitoring compares served data with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import Kind, as_numbers, as_text
from pipeline.features.decision import confidences, predicted_classes
from pipeline.features.transformer import FeatureTransformer
from pipeline.learn.families import BACKGROUND_ROWS
from pipeline.learn.task import Task

PROFILE_FILE = "reference_profile.json"  # in the logged model
BINS = 10
SAMPLE = 500  # order statistics of a numeric column: its distribution function to within 0.1 %
CATEGORIES = 200  # number of categories with their own count, the most frequent ones
DIGITS = 5  # significant digits of predictions, in which a model and its 32-bit ONNX graph agree

Profile = dict[str, Any]


def profile_of_inputs(rows: pd.DataFrame, transformer: FeatureTransformer) -> Profile:
    """Return the profile of the training rows.

    Parameters
    ----------
    rows : DataFrame, shape (n_rows, n_columns)
        All training rows or a sample, with at least the raw input columns. Kinds such as light curves are monitored by
        their features instead of their raw columns.
    transformer : FeatureTransformer
        Fitted on the training rows.

    Returns
    -------
    dict
        ``columns`` has the profile of each raw column: see `profile_of_numbers`, `profile_of_categories` and, for
        dates, `profile_of_missing`. Each kind that is monitored by its features (``flux`` for light curves) has a key
        with their profiles.
        ``background`` has the values of some evenly spaced rows for each raw column, None for missing values.
    """
    monitored = {part.key: names for part, names in transformer.drift_features()}
    features = [name for names in monitored.values() for name in names]
    replaced = {column for name in features for column in transformer.raw_columns[name]}
    growing = transformer.growing_columns
    X = transformer.transform(rows, only=[*features, *growing.values()])
    return {
        "columns": {
            name: profile_of_missing(X[growing[name]]) if name in growing else _profile_of(rows[name], kind)
            for name, kind in transformer.kinds.items()
            if name not in replaced
        },
        **{
            key: {name: profile_of_numbers(X[name].to_numpy(np.float64)) for name in names}
            for key, names in monitored.items()
        },
        "background": _background(rows, transformer.kinds),
    }


def profile_of_outputs(task: Task, outputs: NDArray[Any], threshold: float | None = None) -> Profile:
    """Return the profile of the predictions for rows that the model was not fitted on.

    Parameters
    ----------
    task : Task
    outputs : array of float64, shape (n_rows,) or (n_rows, n_classes)
        Predictions, or probabilities of the classes.
    threshold : float, optional
        Decision threshold of a binary classification.

    Returns
    -------
    dict
        ``prediction``: the profile of the predicted numbers or labels; ``confidence``: that of the predicted classes'
        probabilities in percent, None for regression.
    """
    if task.labels is None:
        return {"prediction": profile_of_numbers(round_to_digits(outputs)), "confidence": None}
    predicted = pd.Series(predicted_classes(outputs, threshold)).map(dict(enumerate(task.texts)))
    return {
        "prediction": profile_of_categories(predicted, "text"),
        "confidence": profile_of_numbers(round_to_digits(100 * confidences(outputs, threshold))),
    }


def round_to_digits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return predictions rounded to `DIGITS` significant digits, in which a model and its ONNX graph agree.

    Otherwise a value that many rows share could be in different bins for the model and its graph.
    """
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.tolist()], dtype=np.float64)


def profile_of_numbers(values: NDArray[np.float64]) -> Profile:
    """Return the profile of numbers, where NaN is a missing value.

    Returns
    -------
    dict
        ``n``: number of rows; ``missing_share``: share of missing values; ``edges``: inner bin edges, where a bin
        includes its upper edge; ``shares``: share of the present values in each bin; ``sample``: at most `SAMPLE` of
        the present values, sorted, at evenly spaced ranks.
    """
    present = np.sort(values[~np.isnan(values)])
    n_present = len(present)
    ranks = np.arange(n_present)
    if n_present > SAMPLE:
        ranks = ((np.arange(SAMPLE) + 0.5) * n_present / SAMPLE).astype(np.intp)
    edges = _edges(present)
    return {
        "kind": "number",
        "n": len(values),
        "missing_share": _share(len(values) - n_present, len(values)),
        "edges": edges.tolist(),
        "shares": (np.bincount(bins_of(present, edges), minlength=len(edges) + 1) / max(n_present, 1)).tolist(),
        "sample": present[ranks].tolist(),
    }


def profile_of_categories(values: pd.Series, kind: Kind) -> Profile:
    """Return the profile of texts, or of booleans as the texts ``true`` and ``false``.

    Returns
    -------
    dict
        ``n``: number of rows; ``missing_share``: share of missing values; ``shares``: share of the present values in
        each category, for the `CATEGORIES` most frequent ones.
    """
    counts = values.value_counts()
    ranked = sorted(((int(count), str(name)) for name, count in counts.items()), key=lambda item: (-item[0], item[1]))
    n_present = sum(count for count, _ in ranked)
    return {
        "kind": kind,
        "n": len(values),
        "missing_share": _share(len(values) - n_present, len(values)),
        "shares": {name: count / n_present for count, name in ranked[:CATEGORIES]},
    }


def profile_of_missing(values: pd.Series) -> Profile:
    """Return the profile of dates, which differ in later rows by nature: only the share of missing ones."""
    return {"kind": "date", "n": len(values), "missing_share": float(values.isna().mean()), "shares": {}}


def bins_of(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bin of each value, from 0 to ``len(edges)``."""
    return np.searchsorted(edges, values, side="left")


def write_profile(folder: Path, profile: Profile) -> None:
    """Write a profile into a logged model's folder; equal profiles give equal bytes."""
    text = json.dumps(profile, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    (folder / PROFILE_FILE).write_text(text, encoding="utf-8")


def _edges(present: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distinct deciles; a value that equals several of them gets its own bin."""
    if not len(present):
        return present
    deciles = np.quantile(present, np.arange(1, BINS) / BINS, method="inverted_cdf")
    distinct, counts = np.unique(deciles, return_counts=True)
    return np.unique(np.append(distinct, np.nextafter(distinct[counts > 1], -np.inf)))


def _profile_of(column: pd.Series, kind: Kind) -> Profile:
    if kind == "number":
        return profile_of_numbers(as_numbers(column, kind))
    if kind == "text":
        return profile_of_categories(as_text(column), kind)
    booleans = pd.Series(as_numbers(column, kind))
    return profile_of_categories(booleans.map({1.0: "true", 0.0: "false"}), kind)


def _background(rows: pd.DataFrame, kinds: Mapping[str, Kind]) -> dict[str, list[Any]]:
    """Return the values of evenly spaced rows in their JSON types."""
    positions = np.unique(np.linspace(0, len(rows) - 1, BACKGROUND_ROWS).astype(np.intp))
    return {name: _json_values(rows[name].iloc[positions], kind) for name, kind in kinds.items()}


def _json_values(column: pd.Series, kind: Kind) -> list[Any]:
    if kind == "text":
        return [None if value is None or value != value else str(value) for value in as_text(column).tolist()]
    numbers = [None if np.isnan(value) else float(value) for value in as_numbers(column, kind)]
    return numbers if kind == "number" else [None if value is None else bool(value) for value in numbers]


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0
