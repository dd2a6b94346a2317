"""Format inferred settings as the text of a params.yaml, with the reason for each choice as a comment."""

import re

from pipeline.learn.families import names
from pipeline.params.schema import TrainParams
from pipeline.scaffold.columns import DEFAULT_MAX_CATEGORIES
from pipeline.scaffold.infer import InferredSettings
from pipeline.support.yaml import quote, read_yaml

COMMENT_COLUMN = 36
STAGES = "None | Staging | Production | Archived"
STRATEGIES = "random | stratified | group | time (group and time need `column`)"
FEATURE_COMMENTS = {
    "dates": "year, month, day and so on of each column, read in this format",
    "target_encoding": "mean target of the rows with the same value, out of fold",
    "ordered": "lowest first; the position becomes a number",
    "lists": "a feature for each frequent word of a list, and the separator of the words",
    "text": "a few numeric features of the parts of words",
}
_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")

Line = tuple[str, str]


def params_yaml(inferred: InferredSettings, path: str, name: str) -> str:
    """Return the text of a params.yaml.

    Parameters
    ----------
    inferred : InferredSettings
    path : str
        Path of the table, absolute or relative to the folder of params.yaml.
    name : str
        Name of the MLflow experiment, and prefix of the registered model's name.
    """
    sections = [
        [("dataset:", ""), (f"  path: {as_yaml(path)}", ""), *_dataset(inferred)],
        _features(inferred),
        _evaluate(inferred),
        [("train:", ""), (f"  experiment_name: {as_yaml(name)}", ""), *_train(inferred)],
        [("register:", ""), (f"  model_name: {name}-production", ""), ("  stage: Staging", STAGES)],
        _monitor(inferred),
    ]
    return "\n".join("".join(f"{_format_line(*line)}\n" for line in lines) for lines in sections)


def as_yaml(text: str) -> str:
    """Return a text as a YAML scalar on one line, in double quotes where necessary."""
    return text if _PLAIN.fullmatch(text) and read_yaml(f"- {text}") == [text] else quote(text)


def _format_line(left: str, comment: str) -> str:
    return f"{left:<{COMMENT_COLUMN - 2}}  # {comment}" if comment else left


def _column_list(key: str, columns: dict[str, str], comment: str) -> list[Line]:
    if not columns:
        return [(f"  {key}: []", comment)]
    return [(f"  {key}:", comment), *((f"    - {as_yaml(name)}", reason) for name, reason in columns.items())]


def _leaks(inferred: InferredSettings) -> list[Line]:
    """Return commented lines that drop the inputs which nearly determine the target."""
    found = {name: leak.finding for leak in inferred.leaks for name in leak.columns}
    if inferred.drop or not found:
        return [(f"    # - {as_yaml(name)}", finding) for name, finding in found.items()]
    return [(f"  # drop: [{', '.join(map(as_yaml, found))}]", "; ".join(dict.fromkeys(found.values())))]


def _dataset(inferred: InferredSettings) -> list[Line]:
    max_categories, strategy = inferred.max_categories, inferred.strategy_reason or STRATEGIES
    limit = (
        "raised from the default, because a text column has more values"
        if max_categories > DEFAULT_MAX_CATEGORIES
        else ""
    )
    return [
        (f"  target: {as_yaml(inferred.target)}", ""),
        (f"  task: {inferred.task}", inferred.task_reason),
        *([(f"  positive: {as_yaml(inferred.positive)}", inferred.imbalance)] if inferred.positive else []),
        *([("  drop_duplicates: false", inferred.duplicates_reason)] if inferred.duplicates_reason else []),
        *_column_list("drop", inferred.drop, "columns that are not inputs"),
        *_leaks(inferred),
        *_column_list("categorical", inferred.categorical, "codes; text is categorical unless listed in `features`"),
        ("  derived: {}", "formulas over numeric columns, such as margin: price / cost"),
        (f"  max_categories: {max_categories}", limit or "maximum number of values of a categorical column"),
        ("  split:", ""),
        (f"    strategy: {inferred.strategy}", strategy),
        *([(f"    column: {as_yaml(inferred.split_column)}", "")] if inferred.split_column else []),
        *(
            line
            for split in inferred.alternative_splits
            for line in (
                (f"    # strategy: {split.strategy}", split.reason),
                (f"    # column: {as_yaml(split.column)}", _features_to_remove(inferred, split.column)),
            )
        ),
        ("    test_size: 0.2", ""),
        ("    seed: 42", ""),
    ]


def _features_to_remove(inferred: InferredSettings, column: str) -> str:
    keys = [key for key, columns in inferred.features.items() if column in columns]
    return f"is then not a feature: remove it from features.{keys[0]}" if keys else ""


def _evaluate(inferred: InferredSettings) -> list[Line]:
    if inferred.imbalance:
        return [
            ("evaluate:", ""),
            ("  threshold: f1", "decides who gets the rare class's label; weights would distort probabilities"),
        ]
    return [("evaluate: {}", "thresholds, custom metrics, selection metric: see docs/reference/params.md")]


def _features(inferred: InferredSettings) -> list[Line]:
    lines: list[Line] = []
    if inferred.flux:
        lines.append(("  flux: true", "turn the light curve in columns FLUX.1, FLUX.2, … into features"))
    for key, columns in inferred.features.items():
        lines.append((f"  {key}:", FEATURE_COMMENTS[key]))
        for name, (value, reason) in columns.items():
            left = f"    - {as_yaml(name)}" if value is None else f"    {as_yaml(name)}: {_as_yaml_value(value)}"
            lines.append((left, reason))
    if lines:
        return [("features:", ""), *lines]
    return [("features: {}", "dates, texts, neighbors and so on: see docs/reference/params.md")]


def _as_yaml_value(value: str | list[str]) -> str:
    return as_yaml(value) if isinstance(value, str) else "[" + ", ".join(map(as_yaml, value)) + "]"


def _train(inferred: InferredSettings) -> list[Line]:
    (model,) = TrainParams().models
    others = [name for name in names() if name != model]
    return [
        (f"  models: [{model}]", f"{' | '.join([model, *others])}, with three experiment runs each"),
        ("  params: {}", "fixed hyperparameters of each family"),
        ("  seed: 42", ""),
        ("  n_jobs: null", "number of threads; null: the processors that the process may use"),
        (f"  cv_folds: {inferred.cv_folds}", inferred.folds_reason),
        ("  search:", ""),
        ("    n_candidates: null", "number of candidates; null: by the number of rows"),
        ("    max_rounds: 3000", "maximum number of boosting rounds; training stops earlier"),
    ]


def _monitor(inferred: InferredSettings) -> list[Line]:
    if inferred.imbalance:
        return [
            ("monitor:", ""),
            ("  max_class_share: null", "no alarm for a large share of one class, which is normal here"),
            ("  min_confidence: null", "no alarm for predictions near the threshold, which is normal too"),
        ]
    return [("monitor: {}", "alarms of the prediction service: see docs/how-to/monitor-drift.md")]
