"""A loaded model, ready to predict."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pipeline.features.columns import Kind
from pipeline.service.records import Columns, ModelIdentity, Outputs

if TYPE_CHECKING:
    from pipeline.features.raw_rows_model import RawRowsModel
    from pipeline.service.models.engine import Engine
    from pipeline.service.requests.schema import RowSchema


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A version of the registered model, loaded and verified.

    Attributes
    ----------
    name, version, run_id : str, int, str
    source : {"registry", "export"}
    family : str
        The model family, as in `pipeline.learn.families`.
    raw : RawRowsModel
        The fitted estimator (``raw.model``) behind its feature transformer (``raw.transformer``).
    engine : Engine
        Computes the predictions.
    schema : RowSchema
        The schema of a row in a request.
    profile : dict, optional
        The reference profile logged with the model; None for models trained before reference profiles existed.
    card : dict
        The model card: the response of GET /model.
    example : dict
        An example of a raw row.
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
        """The classes, in the order of the probabilities; None for regression."""
        return self.raw.labels

    @cached_property
    def identity(self) -> ModelIdentity:
        """The metadata of the model that is recorded with its predictions."""
        return ModelIdentity(self.name, self.version, self.run_id, self.kinds, self.labels)

    def predict(self, columns: Columns, n_rows: int) -> Outputs:
        """Predict raw rows."""
        return self.engine.predict(columns, n_rows)
