"""The sections of params.yaml, the pipeline's one configuration: keys, types, ranges and defaults."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pipeline.features.formulas import parse
from pipeline.learn.families import family, names
from pipeline.learn.metrics import DIRECTIONS
from pipeline.learn.search_params import SearchParams
from pipeline.learn.space import Range, Space
from pipeline.support.section import Section, shown

NAME_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?"
NAME_IN_WORDS = (
    "1 to 100 of the letters A to Z and a to z, digits, `.`, `_` and `-`, first a letter or digit, last no `.`"
)
FUNCTION_PATTERN = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"


def _matching(pattern: str, in_words: str) -> AfterValidator:
    """Return a validator of texts that match a whole pattern; its message says what the pattern means."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"it takes {in_words} (it is {shown(text)})")
        return text

    return AfterValidator(check)


Name = Annotated[str, _matching(NAME_PATTERN, NAME_IN_WORDS)]
Function = Annotated[str, _matching(FUNCTION_PATTERN, "module:function, such as costs:profit")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Stage = Literal["None", "Staging", "Production", "Archived"]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class SplitParams(Section):
    """How rows are divided into a training and a test table, and training rows into folds."""

    test_size: float = Field(default=0.2, gt=0, lt=1)
    seed: Seed = 42
    strategy: Literal["random", "stratified", "group", "time"] = "random"
    column: str | None = None

    @model_validator(mode="after")
    def _column_fits_strategy(self) -> Self:
        if self.strategy in ("group", "time") and self.column is None:
            raise ValueError(f"strategy {self.strategy} needs `column`, the column to split by")
        if self.strategy == "random" and self.column is not None:
            raise ValueError("strategy random takes no `column`; use stratified, group or time, or remove it")
        return self


class DatasetParams(Section):
    """The input table and what its columns mean."""

    path: str = Field(min_length=1)
    target: str = Field(min_length=1)
    task: Literal["regression", "classification"] = "regression"
    positive: str | int | bool | None = None
    drop: list[str] = Field(default=[])
    categorical: list[str] | None = None
    max_categories: int = Field(default=50, ge=2, le=100_000)
    derived: dict[str, str] = Field(default={})
    drop_duplicates: bool = True
    split: SplitParams = SplitParams()

    @property
    def no_inputs(self) -> set[str]:
        """The columns no model may see: dropped ones, and the column rows are grouped or ordered by."""
        by = {self.split.column} if self.split.column and self.split.strategy in ("group", "time") else set()
        return {*self.drop, *by}

    def non_features(self, columns: Iterable[str]) -> list[str]:
        """Return those of a prepared table's columns that are no input: the target, and `no_inputs`."""
        return [name for name in columns if name == self.target or name in self.no_inputs]

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
            raise ValueError("`positive` is a label, and a regression has none: set `task: classification`")
        if self.target in self.derived:
            raise ValueError(f"the target {self.target!r} cannot also be a name in `derived`")
        for name, formula in self.derived.items():
            parse(name, formula)
        return self


class NeighborsParams(Section):
    """Features of a row's surroundings: the nearest training rows by some columns."""

    k: int = Field(ge=1, le=1000)
    by: list[str] = Field(min_length=1, max_length=10)
    means: list[str] = Field(default=[])

    @model_validator(mode="after")
    def _columns_stand_once(self) -> Self:
        for key, columns in (("by", self.by), ("means", self.means)):
            if len(set(columns)) < len(columns):
                raise ValueError(f"`{key}` names a column twice")
        return self


class FeaturesParams(Section):
    """Features that are learnt from the training rows."""

    neighbors: NeighborsParams | None = None
    flux: bool = False


class EvaluateParams(Section):
    """By what models are judged, and the winner is chosen."""

    thresholds: list[Fraction] = Field(default=[0.3, 0.5, 0.7], max_length=100)
    custom: Function | None = None
    choose_by: str | None = None
    greater_is_better: bool | None = None

    @model_validator(mode="after")
    def _direction_is_of_a_metric(self) -> Self:
        if self.greater_is_better is not None and self.choose_by is None:
            raise ValueError("`greater_is_better` is said of the metric that `choose_by` names: name one, or remove it")
        return self


def _space_is_by_family(search: Any) -> Any:
    space = search.get("space") if isinstance(search, dict) else None
    stray = [name for name in space if name not in names()] if isinstance(space, dict) else []
    if stray:
        raise ValueError(
            f"`space` names {shown(stray[0])}; below it stand the model families, {', '.join(names())}, and below each "
            "its parameters: `space: {xgboost: {max_depth: {low: 3, high: 9}}}`"
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
                reason = parameters[key].refusal(value)
                if reason:
                    raise ValueError(f"`space.{name}.{key}` holds {shown(value)}; {reason}")
    return search


class TrainParams(Section):
    """How models are searched for, fitted and explained."""

    experiment_name: Name = "housing-price-prediction"
    models: list[str] = Field(default=["xgboost"], min_length=1)
    params: dict[str, dict[str, Any]] = Field(default={})
    seed: Seed = 42
    n_jobs: int = Field(default=2, ge=1, le=256)
    cv_folds: int = Field(default=5, ge=2, le=50)
    search: Annotated[SearchParams, BeforeValidator(_space_is_by_family), AfterValidator(_spaces_are_of_families)] = (
        SearchParams()
    )
    important_gain: float = Field(default=0.99, gt=0, le=1)
    explain_rows: int = Field(default=1000, ge=10, le=1_000_000)

    @model_validator(mode="after")
    def _models_are_families(self) -> Self:
        for name in self.models:
            _known(name, "models")
        if len(set(self.models)) < len(self.models):
            raise ValueError("`models` names a family twice")
        for name, fixed in self.params.items():
            parameters = family(_known(name, "params")).parameters
            for key, value in fixed.items():
                if key not in parameters:
                    raise ValueError(f"`params.{name}.{key}` is not one of {', '.join(parameters)}")
                if reason := parameters[key].refusal(value):
                    raise ValueError(f"`params.{name}.{key}` is {shown(value)}; {reason}")
                if key in self.search.space.get(name, {}):
                    raise ValueError(f"`params.{name}.{key}` is fixed and in `search.space.{name}`: remove one")
        return self

    def space_of(self, name: str) -> Space:
        """Return what is searched of a family: what params.yaml says, else what the family does and is not fixed."""
        if name in self.search.space:
            return self.search.space[name]
        return {key: values for key, values in family(name).space.items() if key not in self.params.get(name, {})}


def _known(name: str, key: str) -> str:
    if name not in names():
        raise ValueError(f"`{key}` names {shown(name)}; the model families are {', '.join(names())}")
    return name


class GateParams(Section):
    """When a run may take the place of the version in Production."""

    metric: str | None = None
    min_improvement: float = Field(default=0.0, ge=0)
    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    max_regression: float = Field(default=0.05, ge=0)
    slices: list[str] = Field(default=[])
    n_resamples: int = Field(default=1000, ge=100, le=100_000)
    seed: Seed = 0

    @model_validator(mode="after")
    def _metric_and_slices_can_be_judged(self) -> Self:
        if self.metric is not None and self.metric not in DIRECTIONS:
            raise ValueError(f"`metric` is {shown(self.metric)}; it is null or one of {', '.join(DIRECTIONS)}")
        if len(set(self.slices)) < len(self.slices):
            raise ValueError("`slices` names a column twice")
        return self


class RegisterParams(Section):
    """Where the winner goes."""

    model_name: Name = "housing-price-production"
    stage: Stage = "Staging"
    gate: GateParams = GateParams()


class MonitorParams(Section):
    """When what a served model is asked, and what it answers, is an alarm; a limit that is null is not judged."""

    window: int = Field(default=1000, ge=10, le=100_000)
    min_rows: int = Field(default=200, ge=10, le=100_000)
    min_confidence: float | None = Field(default=60.0, ge=0, le=100)
    max_low_confidence: float | None = Field(default=0.3, ge=0, le=1)
    max_inference_ms: float | None = Field(default=5000.0, gt=0)
    max_class_share: float | None = Field(default=0.8, gt=0, le=1)
    psi: float | None = Field(default=0.2, ge=0)
    alpha: Fraction = 0.01

    @model_validator(mode="after")
    def _a_window_can_be_judged(self) -> Self:
        if self.min_rows > self.window:
            raise ValueError(f"`min_rows` is {self.min_rows} and cannot be above `window`, which is {self.window}")
        return self


class Params(Section):
    """All of params.yaml."""

    dataset: DatasetParams
    features: FeaturesParams = FeaturesParams()
    evaluate: EvaluateParams = EvaluateParams()
    train: TrainParams = TrainParams()
    registry: RegisterParams = Field(default=RegisterParams(), alias="register")
    monitor: MonitorParams = MonitorParams()

    @property
    def feature_settings(self) -> dict[str, Any]:
        """What the kinds of features are fitted by, by their keys."""
        return {"derived": self.dataset.derived, **self.features.model_dump()}

    @field_validator("features", "evaluate", "train", "registry", "monitor", mode="before")
    @classmethod
    def _empty_is_default(cls, section: Any) -> Any:
        return {} if section is None else section
