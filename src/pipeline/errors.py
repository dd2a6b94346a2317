"""Errors a user can cause and fix."""


class PipelineError(Exception):
    """What is wrong, where, and the edit or command that mends it.

    Parameters
    ----------
    problem : str
        What is wrong and where (file, column, row, key).
    remedy : str
        The edit or command that mends it.
    """

    exit_code = 2
    label = "error"

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n  -> {remedy}")
        self.problem = problem
        self.remedy = remedy


class ParamsError(PipelineError):
    """params.yaml cannot be used."""


class TableError(PipelineError):
    """The input table breaks its contract."""


class FormulaError(PipelineError):
    """A derived column's formula cannot be used."""


class NotConvertible(PipelineError):  # noqa: N818
    """A model cannot be expressed as an ONNX graph."""


class StoreError(PipelineError):
    """The MLflow store cannot be used."""


class RegistryError(PipelineError):
    """A run cannot be registered or exported."""


class GateError(RegistryError):
    """A model is not promoted to Production, because it is not better than the one there."""

    exit_code = 3
    label = "refused"
