"""The sections of params.yaml, the pipeline's one configuration: keys, types, ranges and defaults."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from pipeline.expressions import parse

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Stage = Literal["None", "Staging", "Production", "Archived"]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, numbers are not made from text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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
    drop: list[str] = []
    categorical: list[str] | None = None
    max_categories: int = Field(default=50, ge=2)
    derived: dict[str, str] = {}
    split: SplitParams = SplitParams()

    @property
    def no_inputs(self) -> set[str]:
        """The columns no model may see: dropped ones, and the column rows are grouped or ordered by."""
        by = {self.split.column} if self.split.column and self.split.strategy in ("group", "time") else set()
        return {*self.drop, *by}

    @model_validator(mode="after")
    def _columns_are_consistent(self) -> Self:
        if self.target in self.drop:
            raise ValueError(f"the target {self.target!r} cannot also be in `drop`")
        if self.categorical and self.target in self.categorical:
            raise ValueError(f"the target {self.target!r} cannot also be in `categorical`")
        both = sorted(set(self.categorical or []) & set(self.drop))
        if both:
            raise ValueError(f"{', '.join(both)} cannot be both in `categorical` and in `drop`")
        if self.target in self.derived:
            raise ValueError(f"the target {self.target!r} cannot also be a name in `derived`")
        for name, formula in self.derived.items():
            parse(name, formula)
        return self


class Range(Section):
    """Values from `low` to `high`: whole numbers when both are whole, evenly in logarithm when `log`."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError("`low` must be below `high`")
        if self.log and self.low <= 0:
            raise ValueError("`log` needs `low` above 0")
        if self.log and isinstance(self.low, int) and isinstance(self.high, int):
            raise ValueError("`log` is for fractions: write `low` or `high` with a decimal point")
        return self


Choices = Annotated[list[int | float | str], Field(min_length=1)]
RangeOrChoices = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")],
    Discriminator(lambda values: "range" if isinstance(values, dict | Range) else "choices"),
]
# The parameters of XGBoost that a search may vary, each with the least and greatest value XGBoost takes.
SEARCHABLE: dict[str, tuple[float, float]] = {
    "learning_rate": (1e-6, 1),
    "max_depth": (1, 30),
    "max_leaves": (0, 2**16),
    "min_child_weight": (0, 1e9),
    "max_delta_step": (0, 1e9),
    "gamma": (0, 1e9),
    "subsample": (0, 1),
    "colsample_bytree": (0, 1),
    "colsample_bylevel": (0, 1),
    "colsample_bynode": (0, 1),
    "reg_alpha": (0, 1e9),
    "reg_lambda": (0, 1e9),
}
POSITIVE = {"subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode"}
WHOLE = {"max_depth", "max_leaves"}


class SearchParams(Section):
    """A search: which sampler, how many candidates, from which space, on how many rows, stopped how."""

    sampler: Literal["tpe", "random"] = "tpe"
    n_candidates: int = Field(default=16, ge=1)
    max_rounds: int = Field(default=400, ge=1, le=100_000)
    early_stopping_rounds: int = Field(default=30, ge=1)
    max_rows: int = Field(default=50_000, ge=100)
    time_budget: float | None = Field(default=None, gt=0)
    space: dict[str, RangeOrChoices] = Field(
        default={"max_depth": Range(low=3, high=8), "learning_rate": Range(low=0.03, high=0.3, log=True)},
        min_length=1,
    )

    @model_validator(mode="after")
    def _space_is_of_xgboost(self) -> Self:
        for name, values in self.space.items():
            if name not in SEARCHABLE:
                raise ValueError(f"`space.{name}` is not one of {', '.join(SEARCHABLE)}")
            low, high = SEARCHABLE[name]
            ends = [values.low, values.high] if isinstance(values, Range) else values
            for end in ends:
                if isinstance(end, str) or not low <= end <= high or (end == 0 and name in POSITIVE):
                    least = "above 0" if name in POSITIVE else f"{low:g} or more"
                    raise ValueError(f"`space.{name}` holds {end!r}; it takes {least}, at most {high:g}")
                if name in WHOLE and not isinstance(end, int):
                    raise ValueError(f"`space.{name}` holds {end!r}; it takes whole numbers")
        return self


class NeighborsParams(Section):
    """Features of a row's surroundings: the nearest training rows by some columns."""

    k: int = Field(ge=1, le=1000)
    by: list[str] = Field(min_length=1, max_length=10)
    means: list[str] = []

    @model_validator(mode="after")
    def _columns_stand_once(self) -> Self:
        for key, columns in (("by", self.by), ("means", self.means)):
            if len(set(columns)) < len(columns):
                raise ValueError(f"`{key}` names a column twice")
        return self


class FeaturesParams(Section):
    """Features that are learnt from the training rows."""

    neighbors: NeighborsParams | None = None


class TrainParams(Section):
    """How models are searched for, fitted and explained."""

    experiment_name: Name = "housing-price-prediction"
    seed: Seed = 42
    n_jobs: int = Field(default=2, ge=1, le=1024)
    cv_folds: int = Field(default=5, ge=2, le=50)
    search: SearchParams = SearchParams()
    important_gain: float = Field(default=0.99, gt=0, le=1)
    explain_rows: int = Field(default=1000, ge=10)


class RegisterParams(Section):
    """Where the winner goes."""

    model_name: Name = "housing-price-production"
    stage: Stage = "Staging"


class Params(Section):
    """All of params.yaml."""

    dataset: DatasetParams
    features: FeaturesParams = FeaturesParams()
    train: TrainParams = TrainParams()
    registry: RegisterParams = Field(default=RegisterParams(), alias="register")
