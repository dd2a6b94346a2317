"""Model families, one module each: estimators, search space, file format, autologging, importance and explanation.

To add a family, add a module to this package that defines ``FAMILY``; its name is then valid in ``train.models`` of
params.yaml.
"""

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.features.model_files import ModelFile
from pipeline.learn.space import Parameter, Space

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pipeline.learn.learner import Learner, Problem

Importance = dict[str, dict[str, float]]
BACKGROUND_ROWS = 20  # rows of the background data set of SHAP explainers that need one


@dataclass(frozen=True)
class Family:
    """The definition of a model family.

    Attributes
    ----------
    flavor : str
        MLflow flavor: ``mlflow.<flavor>.autolog`` logs the fit and the model.
    autolog : mapping
        Options of that function that are specific to the family.
    file : ModelFile
        How to save and load the fitted estimator, under the file name that the flavor uses.
    estimators : tuple of str
        Class names of the regressor and the classifier.
    rounds_label : str
        Label of the horizontal axis of the learning curve, in the plural.
    parameters : mapping of str to Parameter
        Parameters that params.yaml may fix or search, by the estimator's names.
    defaults : mapping of str to value
        Default values of fixed parameters.
    space : mapping of str to Range or list
        Default search space.
    learner : callable
        ``learner(problem)`` returns the `Learner` of a problem.
    importance : callable
        ``importance(model, X, y)`` returns feature importances by measure and feature name. The first measure ranks
        the features.
    explain : callable
        ``explain(model, X, background)`` returns SHAP values, base values and their unit. The values have the shape
        (n_rows, n_features), or (n_rows, n_features, n_classes) for a multiclass model; the base values have the shape
        () or (n_classes,). The unit is "log-odds" or "probability" (in a binary classification, of the second class),
        "log" for the logarithm of the target, or "" for its own unit. `background` has `BACKGROUND_ROWS` rows; only
        some families use it.
    explainable_rows : callable
        ``explainable_rows(model, row_rounds, n_fits)`` returns the number of rows to explain in a time that is short
        compared with the training, which took `n_fits` fits and `row_rounds` rows times rounds in total.
    train_losses : callable
        ``train_losses(model)`` returns the training loss after each epoch; empty for families without epochs.
    package : str, optional
        Package that the family needs besides those of requirements.txt: requirements-<package>.txt installs it, and
        pyproject.toml has an extra of this name for the requirements of logged models.
    uses_gpu : bool
        Whether the family fits on the device of ``train.device``; the others always use the CPU.
    positive_weight : str, optional
        Parameter with the weight of the positive class; its value ``balanced`` means the ratio of negative to positive
        rows.
    objectives : mapping of str to float
        Values of the parameter ``objective`` for a regression, with the smallest target that each allows.
    alternatives : mapping of str to str
        For a hyperparameter in `space`, another one that replaces it: if that is fixed, neither is searched.
    quick_options : mapping of str to str
        Options of ``src/train.py`` that the family supports (``epochs``, ``batch_size``, ``learning_rate``), with the
        parameter that each sets.
    quick_rank : int
        Order in which ``src/train.py`` fits the families; the lowest is the default.
    """

    flavor: str
    autolog: Mapping[str, object]
    file: ModelFile
    estimators: tuple[str, str]
    rounds_label: str
    parameters: Mapping[str, Parameter]
    defaults: Mapping[str, Any]
    space: Space
    learner: Callable[["Problem"], "Learner"]
    importance: Callable[[Any, "pd.DataFrame", "NDArray[Any]"], Importance]
    explain: Callable[[Any, "pd.DataFrame", "pd.DataFrame"], tuple["NDArray[Any]", "NDArray[np.float64]", str]]
    explainable_rows: Callable[[Any, int, int], int]
    train_losses: Callable[[Any], list[float]] = lambda model: []
    package: str | None = None
    uses_gpu: bool = False
    positive_weight: str | None = None
    objectives: Mapping[str, float] = field(default_factory=dict)
    alternatives: Mapping[str, str] = field(default_factory=dict)
    quick_options: Mapping[str, str] = field(default_factory=dict)
    quick_rank: int = 100


def names() -> list[str]:
    """Return the names of all families, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def ranked_names() -> list[str]:
    """Return the installed families in the order in which ``src/train.py`` fits them; the first is its default."""
    return sorted(filter(is_installed, names()), key=lambda name: (family(name).quick_rank, name))


def is_installed(name: str) -> bool:
    """Return whether the package of a family is installed."""
    package = family(name).package
    return package is None or find_spec(package) is not None


def check_installed(models: Iterable[str]) -> None:
    """Raise `PipelineError` if the package of a family is not installed."""
    for name in models:
        if not is_installed(name):
            package = family(name).package
            raise PipelineError(
                f"{package} is not installed, which models of the family {name} need",
                f"pip install -r requirements-{package}.txt",
            )


def names_with_option(option: str) -> list[str]:
    """Return the names of the families that support an option of ``src/train.py``, such as ``epochs``."""
    return [name for name in names() if option in family(name).quick_options]


def family(name: str) -> Family:
    """Return the definition of a family."""
    definition = import_module(f"{__name__}.{name}").FAMILY
    assert isinstance(definition, Family)
    return definition
