"""Errors that a user can cause and fix."""


class PipelineError(Exception):
    """An error message that says what is wrong, where, and how to fix it.

    Parameters
    ----------
    problem : str
        What is wrong and where (file, column, row, key).
    remedy : str
        The edit or command that fixes it.
    """

    exit_code = 2
    label = "error"

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n  -> {remedy}")
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["PipelineError"], tuple[str, str]]:
        return type(self), (self.problem, self.remedy)  # so that it can be sent from another process


class ParamsError(PipelineError):
    """params.yaml is invalid."""


class TableError(PipelineError):
    """The input table violates its data contract."""


class FormulaError(PipelineError):
    """The formula of a derived column is invalid."""


class NotConvertible(PipelineError):  # noqa: N818
    """A model cannot be converted to ONNX."""


class StoreError(PipelineError):
    """The MLflow store cannot be used."""


class RegistryError(PipelineError):
    """A run cannot be registered or exported."""


class GateError(RegistryError):
    """A model is not promoted to Production because it is not better than the current production version."""

    exit_code = 3
    label = "refused"
