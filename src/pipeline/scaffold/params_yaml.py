"""The params.yaml of a table, as text: what was inferred, each choice with its reason as a comment."""

import re

from pipeline.learn.families import family, names
from pipeline.params.schema import TrainParams
from pipeline.scaffold.columns import MOST_CATEGORIES
from pipeline.scaffold.infer import Inferred
from pipeline.support.yaml import quoted, read_yaml

COMMENTS_FROM = 36
STAGES = "None | Staging | Production | Archived"
SMALL_TABLE = 1000  # rows below which there is little to choose between many candidates
STRATEGIES = "random | stratified | group | time (the last two need `column`)"
_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")

Line = tuple[str, str]


def params_yaml(inferred: Inferred, path: str, name: str) -> str:
    """Return the text of a params.yaml.

    Parameters
    ----------
    inferred : Inferred
    path : str
        The table, relative to the folder of params.yaml or absolute.
    name : str
        Of the MLflow experiment; the registered model's begins with it.
    """
    sections = [
        [("dataset:", ""), (f"  path: {as_yaml(path)}", ""), *_dataset(inferred)],
        _features(inferred),
        _evaluate(inferred),
        [("train:", ""), (f"  experiment_name: {as_yaml(name)}", ""), *_train(inferred)],
        [("register:", ""), (f"  model_name: {name}-production", ""), ("  stage: Staging", STAGES)],
        _monitor(inferred),
    ]
    return "\n".join("".join(f"{_aligned(*line)}\n" for line in lines) for lines in sections)


def as_yaml(text: str) -> str:
    """Return a text in one line that YAML reads back: as it stands where that is safe, else in double quotes."""
    return text if _PLAIN.fullmatch(text) and read_yaml(f"- {text}") == [text] else quoted(text)


def _aligned(left: str, comment: str) -> str:
    return f"{left:<{COMMENTS_FROM - 2}}  # {comment}" if comment else left


def _named(key: str, columns: dict[str, str], comment: str) -> list[Line]:
    if not columns:
        return [(f"  {key}: []", comment)]
    return [(f"  {key}:", comment), *((f"    - {as_yaml(name)}", reason) for name, reason in columns.items())]


def _dataset(inferred: Inferred) -> list[Line]:
    most, strategy = inferred.max_categories, inferred.strategy_reason or STRATEGIES
    limit = "raised: a text column here has more values than usual" if most > MOST_CATEGORIES else ""
    return [
        (f"  target: {as_yaml(inferred.target)}", ""),
        (f"  task: {inferred.task}", inferred.task_reason),
        *([(f"  positive: {as_yaml(inferred.positive)}", inferred.imbalance)] if inferred.positive else []),
        *([("  drop_duplicates: false", inferred.keeps_copies)] if inferred.keeps_copies else []),
        *_named("drop", inferred.drop, "columns that are no input"),
        *_named("categorical", inferred.categorical, "codes; other text columns are found without being named"),
        ("  derived: {}", "formulas over number columns, such as margin: price / cost"),
        (f"  max_categories: {most}", limit or "a text column with more different values is an error"),
        ("  split:", ""),
        (f"    strategy: {inferred.strategy}", strategy),
        *(
            line
            for other in inferred.other_splits
            for line in (
                (f"    # strategy: {other.strategy}", other.when),
                (f"    # column: {as_yaml(other.column)}", ""),
            )
        ),
        ("    test_size: 0.2", ""),
        ("    seed: 42", ""),
    ]


def _evaluate(inferred: Inferred) -> list[Line]:
    if inferred.imbalance:
        return [
            ("evaluate:", ""),
            ("  choose_by: average_precision", "how pure the most probable rows are: what counts of a rare label"),
        ]
    return [("evaluate: {}", "thresholds, a function of your own, the metric that chooses: README")]


def _features(inferred: Inferred) -> list[Line]:
    if inferred.flux:
        return [("features:", ""), ("  flux: true", "the columns FLUX.1, FLUX.2, … are light curves")]
    return [("features: {}", "features that are learnt from training rows: README")]


def _train(inferred: Inferred) -> list[Line]:
    is_small = inferred.n_rows < SMALL_TABLE
    (model,) = TrainParams().models
    weight = family(model).positive_weight
    params: list[Line] = [("  params: {}", "of a family: what is fixed")]
    if inferred.imbalance and weight:
        balance = (f"      {weight}: balanced", "the rare rows weigh as much as the others together")
        params = [("  params:", ""), (f"    {model}:", ""), balance]
    others = [name for name in names() if name != model]
    return [
        (f"  models: [{model}]", f"{' | '.join([model, *others])}: three experiments of each"),
        *params,
        ("  seed: 42", ""),
        ("  n_jobs: 2", ""),
        (f"  cv_folds: {inferred.cv_folds}", inferred.folds_reason),
        ("  search:", f"smaller than usual, for {inferred.n_rows:,} rows" if is_small else ""),
        (f"    n_candidates: {8 if is_small else 16}", ""),
        (f"    max_rounds: {200 if is_small else 400}", ""),
    ]


def _monitor(inferred: Inferred) -> list[Line]:
    if inferred.imbalance:
        return [("monitor:", ""), ("  max_class_share: null", "one label is most of the rows: its share is no alarm")]
    return [("monitor: {}", "limits of the prediction service's alarms: docs/service.md")]
