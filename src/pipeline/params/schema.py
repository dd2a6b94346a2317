"""The schema of params.yaml: sections, keys, types, ranges and defaults."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pipeline.features.formulas import parse
from pipeline.learn.families import family, names
from pipeline.learn.metrics import DIRECTIONS
from pipeline.learn.search_params import SearchParams
from pipeline.learn.space import Range, Space
from pipeline.support.section import Section, short_repr

NAME_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?"
NAME_RULE = (
    "1 to 100 of the characters A to Z, a to z, 0 to 9, `.`, `_` and `-`, starting with a letter or digit and not "
    "ending with `.`"
)
DATE_FORMATS = ("iso", "excel", "unix", "unix_ms")
DATE_DIRECTIVES = r"(%[YymdBbHIMSfpjzZaA%]|[^%])+"
FUNCTION_PATTERN = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"


def is_date_format(text: str) -> bool:
    """Return whether a text is a format of `datetime.strptime` with a year, in which no directive is repeated."""
    directives = re.findall("%[^%]", text.replace("%%", ""))
    is_once = len({"%z" if name == "%Z" else name for name in directives}) == len(directives)
    is_format = is_once and re.fullmatch(DATE_DIRECTIVES, text)
    return bool(is_format and not {"%Y", "%y"}.isdisjoint(directives))


def _matching(pattern: str, rule: str) -> AfterValidator:
    """Return a validator that requires a full match of a pattern; its message states the rule in words."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {rule} (it is {short_repr(text)})")
        return text

    return AfterValidator(check)


Name = Annotated[str, _matching(NAME_PATTERN, NAME_RULE)]
Function = Annotated[str, _matching(FUNCTION_PATTERN, "module:function, such as costs:profit")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Stage = Literal["None", "Staging", "Production", "Archived"]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class SplitParams(Section):
    """How the table is split into training and test rows, and the training rows into folds."""

    test_size: float = Field(default=0.2, gt=0, lt=1, description="Share of the rows in the test set.")
    seed: Seed = Field(default=42, description="Random seed of the split into training and test rows.")
    strategy: Literal["random", "stratified", "group", "time"] = Field(
        default="random",
        description="random: any row can be a test row. stratified: `column` has a similar distribution on both "
        "sides. group: all rows with the same value of `column` are on the same side. time: the test rows are the last "
        "by `column`.",
    )
    column: str | None = Field(
        default=None,
        description="Column to split by. Required for group and time; for stratified it defaults to the target; not "
        "allowed for random. A group or time column is not a feature.",
    )

    @model_validator(mode="after")
    def _column_fits_strategy(self) -> Self:
        if self.strategy in ("group", "time") and self.column is None:
            raise ValueError(f"strategy {self.strategy} needs `column`, the column to split by")
        if self.strategy == "random" and self.column is not None:
            raise ValueError("strategy random does not use `column`; set stratified, group or time, or remove `column`")
        return self


class DatasetParams(Section):
    """The input table and the roles of its columns."""

    path: str = Field(
        min_length=1,
        description="CSV file (plain or .gz) or Parquet file, a folder of such files, or a pattern such as "
        "`data/part-*.csv`, relative to the pipeline folder; or a URL of a file or folder that DVC knows, such as "
        "`s3://bucket/table` or `remote://storage/table`.",
    )
    target: str = Field(min_length=1, description="Column to predict.")
    task: Literal["regression", "classification"] = Field(
        default="regression", description="regression for a numeric target, classification for a target of classes."
    )
    positive: str | int | bool | None = Field(
        default=None,
        description="Positive class of a binary classification; null: the last class in sorted order.",
    )
    drop: list[str] = Field(default=[], description="Columns to ignore, such as row numbers.")
    categorical: list[str] | None = Field(
        default=None,
        description="Numeric or boolean columns to treat as categories, such as codes. Text columns always are.",
    )
    max_categories: int = Field(
        default=50,
        ge=2,
        le=100_000,
        description="Maximum number of different values of a categorical column; more is an error.",
    )
    derived: dict[str, str] = Field(
        default={},
        description="Additional features: a formula over numeric columns for each name, such as "
        "`rooms_per_household: total_rooms / households`.",
    )
    drop_duplicates: bool = Field(
        default=True, description="Whether to drop rows that equal an earlier row in every column."
    )
    split: SplitParams = Field(default=SplitParams(), description="How rows are split.")

    @property
    def excluded_columns(self) -> set[str]:
        """The columns that are never features: dropped columns, and the group or time column of the split."""
        split_column = {self.split.column} if self.split.column and self.split.strategy in ("group", "time") else set()
        return {*self.drop, *split_column}

    def non_features(self, columns: Iterable[str]) -> list[str]:
        """Return the columns of a prepared table that are not features: the target and `excluded_columns`."""
        return [name for name in columns if name == self.target or name in self.excluded_columns]

    @model_validator(mode="after")
    def _columns_are_consistent(self) -> Self:
        if self.target in self.drop:
            raise ValueError(f"the target {self.target!r} cannot also be in `drop`")
        if self.task == "regression" and self.target in (self.categorical or []):
            raise ValueError(f"the target {self.target!r} of a regression cannot also be in `categorical`")
        both = sorted(set(self.categorical or []) & set(self.drop))
        if both:
            raise ValueError(f"{', '.join(both)} cannot be both in `categorical` and in `drop`")
        if self.positive is not None and self.task == "regression":
            raise ValueError(
                "`positive` names a class, and a regression has no classes: set `task: classification` or remove it"
            )
        if self.target in self.derived:
            raise ValueError(f"the target {self.target!r} cannot also be a name in `derived`")
        for name, formula in self.derived.items():
            parse(name, formula)
        return self


class NeighborsParams(Section):
    """Features computed over the k nearest training rows."""

    k: int = Field(ge=1, le=1000, description="Number of nearest training rows to average over.")
    by: list[str] = Field(
        min_length=1,
        max_length=10,
        description="Numeric columns or derived features that define the distance, each divided by its standard "
        "deviation.",
    )
    means: list[str] = Field(
        default=[],
        description="Numeric columns or derived features to average, in addition to the target.",
    )
    max_places: int = Field(
        default=1_000_000,
        ge=100,
        le=1_000_000_000,
        description="Maximum number of training rows among which neighbors are searched; of more rows, a sample.",
    )

    @model_validator(mode="after")
    def _columns_are_unique(self) -> Self:
        for key, columns in (("by", self.by), ("means", self.means)):
            if len(set(columns)) < len(columns):
                raise ValueError(f"`{key}` names a column twice")
        return self


class FeaturesParams(Section):
    """Features that are learned from the training rows or from groups of columns."""

    neighbors: NeighborsParams | None = Field(
        default=None, description="Features computed over the nearest training rows; null: none."
    )
    flux: bool = Field(
        default=False,
        description="Whether to turn the light curve in the columns FLUX.1, FLUX.2, … into features, which replace "
        "its points.",
    )
    dates: dict[str, str] = Field(
        default={},
        description="Columns with dates or times, and the format of each: `iso` (2026-01-31), `excel`, `unix` or "
        "`unix_ms` (numbers), or a format such as `%d.%m.%Y`. Their parts that vary become features: year, month, day "
        "and so on.",
    )
    target_encoding: list[str] = Field(
        default=[],
        description="Categorical columns with many values. A category becomes the mean target of its rows, out of fold "
        "for the training rows, and its share of the rows; the most frequent ones are also one-hot encoded.",
    )
    ordered: dict[str, list[str]] = Field(
        default={}, description="Text columns whose categories have an order, lowest first, which becomes a number too."
    )
    lists: dict[str, str] = Field(
        default={},
        description="Text columns that hold lists of words, and the separator of each; the most frequent words become "
        "features of 0 and 1.",
    )
    text: list[str] = Field(
        default=[], description="Columns of free text, whose parts of words become a few numeric features."
    )

    @property
    def encoded_columns(self) -> frozenset[str]:
        """The columns that are not one-hot encoded, so that they may have any number of different values."""
        return frozenset([*self.dates, *self.target_encoding, *self.lists, *self.text])

    @property
    def columns(self) -> dict[str, list[str]]:
        """The columns that each key names."""
        return {key: list(getattr(self, key)) for key in ("dates", "target_encoding", "ordered", "lists", "text")}

    @model_validator(mode="after")
    def _columns_are_consistent(self) -> Self:
        for name, date_format in self.dates.items():
            if date_format not in DATE_FORMATS and not is_date_format(date_format):
                raise ValueError(
                    f"`dates.{name}` is {short_repr(date_format)}; it must be {', '.join(DATE_FORMATS)} or a format "
                    "with a year, such as `%d.%m.%Y`, in which no directive is repeated"
                )
        for name, order in self.ordered.items():
            if len(set(order)) < max(len(order), 2):
                raise ValueError(f"`ordered.{name}` must list two or more categories, each once")
        for name, separator in self.lists.items():
            if not separator:
                raise ValueError(f"`lists.{name}` is empty; it must be the separator of the words, such as `|`")
        named = [name for key, names in self.columns.items() if key != "ordered" for name in names]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} can only be in one of `dates`, `target_encoding`, `lists` and `text`")
        return self


class ErrorCosts(Section):
    """The costs of wrong predictions of a binary classification, in any unit."""

    false_positive: float = Field(gt=0, description="Cost of a negative row that is predicted positive.")
    false_negative: float = Field(gt=0, description="Cost of a positive row that is predicted negative.")


class EvaluateParams(Section):
    """The metrics that models are evaluated with, and the one that selects the winner."""

    thresholds: list[Fraction] = Field(
        default=[0.3, 0.5, 0.7],
        max_length=100,
        description="Probability thresholds at which to compute f1, precision and recall; binary classification only.",
    )
    threshold: Fraction | Literal["f1", "cost"] | None = Field(
        default=None,
        description="Probability from which the positive class is predicted; binary classification only. null: 0.5. "
        "f1: the one with the greatest F1 on the validation rows of the folds. cost: the one with the lowest cost "
        "there, by `costs`.",
    )
    costs: ErrorCosts | None = Field(default=None, description="Costs of errors for `threshold: cost`; null: none.")
    custom: Function | None = Field(
        default=None, description="A function of yours that returns metrics, as `module:function`."
    )
    choose_by: str | None = Field(
        default=None,
        description="Metric whose mean over the folds selects the winner; null: rmse for regression, log_loss for "
        "classification.",
    )
    greater_is_better: bool | None = Field(
        default=None,
        description="Whether a greater value of the `choose_by` metric is better; null: its known direction, or true "
        "for a metric of yours.",
    )

    @model_validator(mode="after")
    def _keys_are_consistent(self) -> Self:
        if self.threshold == "cost" and self.costs is None:
            raise ValueError(
                "`threshold: cost` needs the costs of errors, such as `costs: {false_positive: 1, false_negative: 5}`"
            )
        if self.costs is not None and self.threshold != "cost":
            raise ValueError("`costs` needs `threshold: cost`: set it, or remove `costs`")
        if self.greater_is_better is not None and self.choose_by is None:
            raise ValueError("`greater_is_better` needs `choose_by`: name a metric there, or remove it")
        return self


def _space_is_by_family(search: Any) -> Any:
    space = search.get("space") if isinstance(search, dict) else None
    unknown = [name for name in space if name not in names()] if isinstance(space, dict) else []
    if unknown:
        raise ValueError(
            f"`space` names {short_repr(unknown[0])}, which is not a model family ({', '.join(names())}); list "
            "hyperparameters below their family: `space: {xgboost: {max_depth: {low: 3, high: 9}}}`"
        )
    return search


def _spaces_are_of_families(search: SearchParams) -> SearchParams:
    for name, space in search.space.items():
        parameters = family(name).parameters
        for key, values in space.items():
            if key not in parameters:
                raise ValueError(f"`space.{name}.{key}` is not one of {', '.join(parameters)}")
            if parameters[key].layers:
                raise ValueError(f"`space.{name}.{key}` cannot be searched: fix it in `train.params.{name}`")
            for value in [values.low, values.high] if isinstance(values, Range) else values:
                reason = parameters[key].violation(value)
                if reason:
                    raise ValueError(f"`space.{name}.{key}` holds {short_repr(value)}; {reason}")
    return search


class TrainParams(Section):
    """How models are tuned, fitted and explained."""

    experiment_name: Name = Field(default="housing-price-prediction", description="Name of the MLflow experiment.")
    models: list[str] = Field(
        default=["xgboost"],
        min_length=1,
        description="Model families to train: xgboost, random_forest, nn, and lightgbm if it is installed. Each gets "
        "three experiment runs.",
    )
    params: dict[str, dict[str, Any]] = Field(
        default={},
        description="Fixed hyperparameters for each family, such as `random_forest: {n_estimators: 500}`.",
    )
    seed: Seed = Field(default=42, description="Random seed of the folds, the search and the fits.")
    n_jobs: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Number of threads; null: the processors that the process may use, by its CPU affinity and quota.",
    )
    device: Literal["cpu", "cuda", "auto"] = Field(
        default="cpu",
        description="Where the family xgboost trains; the other families ignore it. cuda: an NVIDIA GPU. auto: a GPU "
        "if XGBoost can use one, else the CPU. CPU and GPU give different models.",
    )
    engine: Literal["local", "dask"] = Field(
        default="local",
        description="Where a table is prepared and trained on. local: in one process. dask: on the workers of the "
        "scheduler DASK_SCHEDULER_ADDRESS or, if it is not set, on workers that are started on this machine.",
    )
    shards: int = Field(
        default=8,
        ge=1,
        le=10_000,
        description="Number of parts of the training rows that are fitted side by side with the engine dask. Another "
        "number gives another model; the number of workers does not.",
    )
    external_memory: Literal["auto", True, False] = Field(
        default="auto",
        description="Whether features are kept on disk, where the final fit of the family xgboost reads them in "
        "batches, so that they may exceed the memory. The model is the same. auto: if they would take more than half "
        "of the free memory.",
    )
    cv_folds: int = Field(default=5, ge=2, le=50, description="Number of cross-validation folds.")
    search: Annotated[SearchParams, BeforeValidator(_space_is_by_family), AfterValidator(_spaces_are_of_families)] = (
        Field(default=SearchParams(), description="The hyperparameter search of exp1_tuned and exp3_tuned_selected.")
    )
    important_gain: float = Field(
        default=0.99,
        gt=0,
        le=1,
        description="exp2_important_features and exp3_tuned_selected keep the most important features of exp1_tuned "
        "that together have this share of its total importance (gain for xgboost).",
    )
    explain_rows: int = Field(
        default=1000,
        ge=10,
        le=1_000_000,
        description="Maximum number of test rows to compute SHAP values for. It may be fewer, so that this takes at "
        "most a tenth of the training time; on a GPU it is never fewer.",
    )

    @model_validator(mode="after")
    def _models_are_families(self) -> Self:
        for name in self.models:
            _checked_family(name, "models")
        if len(set(self.models)) < len(self.models):
            raise ValueError("`models` names a family twice")
        for name, fixed in self.params.items():
            parameters = family(_checked_family(name, "params")).parameters
            for key, value in fixed.items():
                if key not in parameters:
                    raise ValueError(f"`params.{name}.{key}` is not one of {', '.join(parameters)}")
                if reason := parameters[key].violation(value):
                    raise ValueError(f"`params.{name}.{key}` is {short_repr(value)}; {reason}")
                if key in self.search.space.get(name, {}):
                    raise ValueError(f"`params.{name}.{key}` is fixed and also in `search.space.{name}`: remove one")
        return self

    def space_of(self, name: str) -> Space:
        """Return a family's search space: the one in params.yaml, or its default without fixed hyperparameters."""
        if name in self.search.space:
            return self.search.space[name]
        fixed, model_family = self.params.get(name, {}), family(name)
        alternatives = model_family.alternatives
        return {
            key: values
            for key, values in model_family.space.items()
            if key not in fixed and alternatives.get(key) not in fixed
        }

    def device_of(self, name: str) -> str:
        """Return the device that a family trains on."""
        return self.device if family(name).uses_gpu else "cpu"


def _checked_family(name: str, key: str) -> str:
    if name not in names():
        raise ValueError(f"`{key}` names {short_repr(name)}; the model families are {', '.join(names())}")
    return name


class GateParams(Section):
    """The conditions for promoting a run to Production, where it replaces the current version."""

    metric: str | None = Field(
        default=None,
        description="Metric to compare on the test rows; null: rmse for regression, log_loss for classification.",
    )
    min_improvement: float = Field(
        default=0.0,
        ge=0,
        description="Required improvement, as a share of the current version's value: 0.01 is one percent.",
    )
    confidence: float = Field(
        default=0.95,
        ge=0.5,
        lt=1,
        description="Share of the bootstrap resamples of the test rows in which the run must be better.",
    )
    max_regression: float = Field(
        default=0.05,
        ge=0,
        description="How much worse the run may be on a slice, as a share of the current version's value there.",
    )
    slices: list[str] = Field(
        default=[], description="Columns to slice the test rows by: each value of a column is a slice."
    )
    n_resamples: int = Field(default=1000, ge=100, le=100_000, description="Number of bootstrap resamples.")
    seed: Seed = Field(default=0, description="Random seed of the bootstrap.")

    @model_validator(mode="after")
    def _metric_and_slices_are_valid(self) -> Self:
        if self.metric is not None and self.metric not in DIRECTIONS:
            raise ValueError(
                f"`metric` is {short_repr(self.metric)}; it must be null or one of {', '.join(DIRECTIONS)}"
            )
        if len(set(self.slices)) < len(self.slices):
            raise ValueError("`slices` names a column twice")
        return self


class RegisterParams(Section):
    """Where the winning run is registered."""

    model_name: Name = Field(default="housing-price-production", description="Name of the registered model.")
    stage: Stage = Field(default="Staging", description="Stage of the new version.")
    gate: GateParams = Field(default=GateParams(), description="Conditions for promotion to Production.")


class MonitorParams(Section):
    """When the inputs and predictions of a served model raise an alarm; null turns a limit off."""

    window: int = Field(
        default=1000, ge=10, le=100_000, description="Number of most recent predictions that are checked."
    )
    min_rows: int = Field(
        default=200, ge=10, le=100_000, description="Minimum number of predictions; fewer are not checked."
    )
    min_confidence: float | None = Field(
        default=60.0,
        ge=0,
        le=100,
        description="Minimum mean confidence of the predictions, in percent; classification only.",
    )
    max_low_confidence: float | None = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Maximum share of predictions with a confidence below `min_confidence`; classification only.",
    )
    max_inference_ms: float | None = Field(
        default=5000.0, gt=0, description="Maximum mean inference time of a request, in milliseconds."
    )
    max_class_share: float | None = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Maximum share of predictions of the same class; classification only.",
    )
    psi: float | None = Field(
        default=0.2,
        ge=0,
        description="Maximum population stability index of a column, compared with the training rows.",
    )
    alpha: Fraction = Field(
        default=0.01,
        description="Significance level of the drift tests: the false-alarm rate of a window, shared by all its tests.",
    )

    @model_validator(mode="after")
    def _window_has_min_rows(self) -> Self:
        if self.min_rows > self.window:
            raise ValueError(f"`min_rows` is {self.min_rows}; it must be at most `window`, which is {self.window}")
        return self


class Params(Section):
    """The content of params.yaml."""

    dataset: DatasetParams = Field(description="The input table and the roles of its columns.")
    features: FeaturesParams = Field(
        default=FeaturesParams(),
        description="Features that are learned from the training rows or from groups of columns.",
    )
    evaluate: EvaluateParams = Field(
        default=EvaluateParams(), description="The metrics, and the one that selects the winner."
    )
    train: TrainParams = Field(default=TrainParams(), description="How models are tuned, fitted and explained.")
    registry: RegisterParams = Field(
        default=RegisterParams(), alias="register", description="Where the winning run is registered."
    )
    monitor: MonitorParams = Field(default=MonitorParams(), description="When the prediction service raises an alarm.")

    @model_validator(mode="after")
    def _features_are_of_inputs(self) -> Self:
        excluded = {name: "`dataset.drop` also names" for name in self.dataset.drop}
        excluded |= dict.fromkeys(
            self.dataset.excluded_columns - excluded.keys(), "the rows are split by, so that it is not a feature"
        )
        excluded[self.dataset.target] = "is the target"
        for key, columns in self.features.columns.items():
            for name in columns:
                if name in excluded:
                    raise ValueError(
                        f"features.{key} names {short_repr(name)}, which {excluded[name]}: remove one of them"
                    )
        return self

    @property
    def feature_settings(self) -> dict[str, Any]:
        """The settings of each kind of feature, by its key."""
        features = self.features.model_dump()
        return {"derived": self.dataset.derived, "frequent_categories": features["target_encoding"], **features}

    @field_validator("features", "evaluate", "train", "registry", "monitor", mode="before")
    @classmethod
    def _empty_is_default(cls, section: Any) -> Any:
        return {} if section is None else section
