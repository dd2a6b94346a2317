"""What training data looked like, for those who watch the data of a served model: a JSON file in the logged model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import Kind, as_numbers, as_text
from pipeline.features.transformer import FeatureTransformer
from pipeline.learn.families import BACKGROUND_ROWS
from pipeline.learn.task import Task

PROFILE_FILE = "reference_profile.json"  # in a logged model
BINS = 10
SAMPLE = 500  # order statistics kept of a number column: its distribution function within 0.1 %
CATEGORIES = 200  # counted apart, the most frequent ones
DIGITS = 5  # of what a model answers: its ONNX graph differs in the last of 32 bits

Profile = dict[str, Any]


def profile_of_inputs(rows: pd.DataFrame, X: pd.DataFrame, transformer: FeatureTransformer) -> Profile:
    """Describe the training rows.

    Parameters
    ----------
    rows : DataFrame, shape (n_rows, n_columns)
        At least the raw input columns.
    X : DataFrame of float32, shape (n_rows, n_features)
        Their features; of kinds that are watched by these, such as light curves, they are described instead of the
        columns.
    transformer : FeatureTransformer
        Fitted on them.

    Returns
    -------
    dict
        ``columns``, and the key of each kind that is watched by its features (``flux`` of light curves), hold a
        profile by name (see `profile_of_numbers` and `profile_of_categories`),
        ``background`` the values of some rows, evenly spaced, by raw column: None where a value is missing.
    """
    watched = {part.key: names for part, names in transformer.watched()}
    described = {column for names in watched.values() for name in names for column in transformer.raw_columns[name]}
    return {
        "columns": {
            name: _profile_of(rows[name], kind) for name, kind in transformer.kinds.items() if name not in described
        },
        **{
            key: {name: profile_of_numbers(X[name].to_numpy(np.float64)) for name in names}
            for key, names in watched.items()
        },
        "background": _background(rows, transformer.kinds),
    }


def profile_of_outputs(task: Task, outputs: NDArray[Any]) -> Profile:
    """Describe what a model answers to rows it was not fitted on.

    Parameters
    ----------
    task : Task
    outputs : array of float64, shape (n_rows,) or (n_rows, n_labels)
        Predictions, or probabilities of the labels.

    Returns
    -------
    dict
        ``prediction``: the profile of the predicted numbers, or labels as text; ``confidence``: that of the predicted
        labels' probabilities in percent, None of a regression.
    """
    if task.labels is None:
        return {"prediction": profile_of_numbers(in_few_digits(outputs)), "confidence": None}
    predicted = pd.Series(outputs.argmax(axis=1)).map(dict(enumerate(task.texts)))
    return {
        "prediction": profile_of_categories(predicted, "text"),
        "confidence": profile_of_numbers(in_few_digits(100 * outputs.max(axis=1))),
    }


def in_few_digits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a model answered rounded to `DIGITS` digits, in which all its forms agree.

    Else the value of many rows would be in one bin by the model, and in the next by its graph.
    """
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.tolist()], dtype=np.float64)


def profile_of_numbers(values: NDArray[np.float64]) -> Profile:
    """Describe numbers, NaN where one is missing.

    Returns
    -------
    dict
        ``n`` rows; ``missing_share`` of them; ``edges``: inner bounds of the bins, each of which takes values up to
        and including its upper bound; ``shares`` of the present values in the bins; ``sample``: at most `SAMPLE` of
        them, sorted, at even ranks.
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
    """Describe texts, or truth values as the texts ``true`` and ``false``.

    Returns
    -------
    dict
        ``n`` rows; ``missing_share`` of them; ``shares`` of the present ones by category, the most frequent first,
        at most `CATEGORIES`.
    """
    counts = values.value_counts()
    ranked = sorted(((int(count), str(name)) for name, count in counts.items()), key=lambda one: (-one[0], one[1]))
    n_present = sum(count for count, _ in ranked)
    return {
        "kind": kind,
        "n": len(values),
        "missing_share": _share(len(values) - n_present, len(values)),
        "shares": {name: count / n_present for count, name in ranked[:CATEGORIES]},
    }


def bins_of(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bin of each value, from 0 to ``len(edges)``."""
    return np.searchsorted(edges, values, side="left")


def write_profile(folder: Path, profile: Profile) -> None:
    """Write a profile into a logged model's folder; equal profiles give equal bytes."""
    text = json.dumps(profile, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    (folder / PROFILE_FILE).write_text(text, encoding="utf-8")


def _edges(present: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distinct deciles; a value that is several of them gets a bin of its own."""
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
    truths = pd.Series(as_numbers(column, kind))
    return profile_of_categories(truths.map({1.0: "true", 0.0: "false"}), kind)


def _background(rows: pd.DataFrame, kinds: Mapping[str, Kind]) -> dict[str, list[Any]]:
    """Return the values of evenly spaced rows as JSON has them."""
    places = np.unique(np.linspace(0, len(rows) - 1, BACKGROUND_ROWS).astype(np.intp))
    return {name: _plain(rows[name].iloc[places], kind) for name, kind in kinds.items()}


def _plain(column: pd.Series, kind: Kind) -> list[Any]:
    if kind == "text":
        return [None if value is None or value != value else str(value) for value in as_text(column).tolist()]
    numbers = [None if np.isnan(value) else float(value) for value in as_numbers(column, kind)]
    return numbers if kind == "number" else [None if value is None else bool(value) for value in numbers]


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0
