"""A loaded model, ready to answer."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pipeline.features.columns import Kind
from pipeline.service.answered import Columns, ModelIdentity, Outputs

if TYPE_CHECKING:
    from pipeline.features.raw_rows_model import RawRowsModel
    from pipeline.service.models.engine import Engine
    from pipeline.service.requests.schema import RowSchema


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A version of the registered model, loaded and checked.

    Attributes
    ----------
    name, version, run_id : str, int, str
    source : {"registry", "export"}
    family : str
        Of `pipeline.learn.families`.
    raw : RawRowsModel
        The fitted estimator (``raw.model``) behind its feature transformer (``raw.transformer``).
    engine : Engine
        What computes answers.
    schema : RowSchema
        What a request may hold.
    profile : dict, optional
        The reference profile that was logged with the model; None of models trained before there was one.
    card : dict
        What GET /model answers.
    example : dict
        A raw row.
    """

    name: str
    version: int
    run_id: str
    source: Literal["registry", "export"]
    family: str
    raw: "RawRowsModel" = field(repr=False)
    engine: "Engine" = field(repr=False)
    schema: "RowSchema" = field(repr=False)
    profile: dict[str, Any] | None = field(default=None, repr=False)
    card: dict[str, Any] = field(default_factory=dict, repr=False)
    example: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The raw input columns, in order."""
        return self.raw.transformer.kinds

    @property
    def labels(self) -> list[str | int | bool] | None:
        """Of a classification, in the order of the probabilities; None of a regression."""
        return self.raw.labels

    @cached_property
    def identity(self) -> ModelIdentity:
        """What its answers say of it."""
        return ModelIdentity(self.name, self.version, self.run_id, self.kinds, self.labels)

    def predict(self, columns: Columns, n_rows: int) -> Outputs:
        """Answer raw rows."""
        return self.engine.predict(columns, n_rows)
