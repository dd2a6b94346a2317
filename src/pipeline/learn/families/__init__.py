"""Model families, one file each: what is fitted and searched, how it is saved and recorded, what importance means.

A file of this folder that defines ``FAMILY`` is a family: its name can stand in ``train.models`` of params.yaml.
"""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline.features.model_files import ModelFile
from pipeline.learn.space import Parameter, Space

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pipeline.learn.learner import Learner, Problem

Importance = dict[str, dict[str, float]]
BACKGROUND_ROWS = 20  # that stand for "not known" where a family's SHAP values need such rows


@dataclass(frozen=True)
class Family:
    """What a file of this folder states.

    Attributes
    ----------
    flavour : str
        MLflow's flavour: ``mlflow.<flavour>.autolog`` records the fit and logs the model.
    autolog : mapping
        The options of that function that are the family's own, such as to log no metrics of training rows.
    file : ModelFile
        How the fitted estimator is saved and loaded; its name is that of the file which the flavour writes.
    estimators : tuple of str
        Class names of the regressor and the classifier.
    rounds : str
        What the horizontal axis of its learning curve counts, in the plural.
    parameters : mapping of str to Parameter
        What params.yaml may fix or search, by the estimator's own names.
    defaults : mapping of str to value
        What is fixed unless params.yaml says otherwise.
    space : mapping of str to Range or list
        What is searched unless params.yaml says otherwise.
    learner : callable
        Makes the `Learner` of a problem.
    importance : callable
        Called with the fitted model, features (n_rows, n_features) and targets; returns measures by name, each a
        number for every feature. The first one chooses the important features.
    explain : callable
        Called with the fitted model, rows, and `BACKGROUND_ROWS` rows that stand for "not known" (which only some
        families use); returns SHAP values, shape (n_rows, n_features) or, for more than two classes, (n_rows,
        n_features, n_classes), what they add up from to the model's output, shape () or (n_classes,), and their unit:
        "log-odds" or "probability" (of two classes: of the second), or "" for the target's own.
    explainable_rows : callable
        Called with the fitted model, the number of rows times rounds that all fits together took, and the number of
        fits; returns how many rows may be explained without that taking long beside the training.
    train_losses : callable
        Called with the fitted model; returns the training loss after each epoch, where there are epochs.
    positive_weight : str, optional
        The parameter that weighs the positive of two labels; its value ``balanced`` stands for the ratio of the labels.
    quick_options : mapping of str to str
        The options of ``src/train.py`` that the family takes, ``epochs``, ``batch_size`` and ``learning_rate``, with
        the parameter each of them sets.
    quick_rank : int
        Its place among families that are fitted one after the other, the lowest first, which is also the default.
    """

    flavour: str
    autolog: Mapping[str, object]
    file: ModelFile
    estimators: tuple[str, str]
    rounds: str
    parameters: Mapping[str, Parameter]
    defaults: Mapping[str, Any]
    space: Space
    learner: Callable[["Problem"], "Learner"]
    importance: Callable[[Any, "pd.DataFrame", "NDArray[Any]"], Importance]
    explain: Callable[[Any, "pd.DataFrame", "pd.DataFrame"], tuple["NDArray[Any]", "NDArray[np.float64]", str]]
    explainable_rows: Callable[[Any, int, int], int]
    train_losses: Callable[[Any], list[float]] = lambda model: []
    positive_weight: str | None = None
    quick_options: Mapping[str, str] = field(default_factory=dict)
    quick_rank: int = 100


def names() -> list[str]:
    """Return the families there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def ranked_names() -> list[str]:
    """Return the families in the order in which a quick look fits them; the first is its default."""
    return sorted(names(), key=lambda name: (family(name).quick_rank, name))


def names_with(option: str) -> list[str]:
    """Return the families that take an option of a quick look, such as ``epochs``."""
    return [name for name in names() if option in family(name).quick_options]


def family(name: str) -> Family:
    """Return what the file of a family states."""
    found = import_module(f"{__name__}.{name}").FAMILY
    assert isinstance(found, Family)
    return found
