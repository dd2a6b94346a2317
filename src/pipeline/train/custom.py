"""Custom metrics: a function in the user's repository, named by ``evaluate.custom``."""

import importlib
import importlib.util
import math
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.decision import predicted_classes
from pipeline.learn.task import Task
from pipeline.support.section import short_repr

KEY = "evaluate.custom in params.yaml"
SIGNATURE = "def {name}(y_true, y_pred, y_proba, rows): return {{'profit': 1.0}}"
MAX_NAME_LENGTH = 100
MAX_METRICS = 100  # each is logged three times in a run, and MLflow accepts a batch of 1000
NAME = re.compile(r"\w[\w.-]*")
Function = Callable[..., Mapping[str, float]]


def load_function(name: str, folder: Path) -> Function:
    """Return the function ``module:function`` from the pipeline folder or a folder above it in the same git repository.

    Parameters
    ----------
    name : str
        ``module:function``, validated by `EvaluateParams`.
    folder : Path
        The pipeline folder. Outside a git repository, the folders above it are not searched.

    Raises
    ------
    PipelineError
        When there is no such module or function, the module's name is already taken, or the import fails. Modules in
        other folders are never imported.
    """
    module_name, function_name = name.split(":")
    folders = _search_folders(folder)
    file = Path(*module_name.split(".")).with_suffix(".py")
    found_in = next((candidate for candidate in folders if (candidate / file).is_file()), None)
    fix = f"write {file} in the pipeline folder, with: {SIGNATURE.format(name=function_name)}"
    if found_in is None:
        above = f" or above, up to {folders[-1]}" if len(folders) > 1 else ""
        raise PipelineError(f"{KEY} is {name!r}, but there is no {file} in {folders[0]}{above}", fix)
    packages = [found_in / package / "__init__.py" for package in file.parents if package != Path()]
    for path in [found_in / file, *packages]:
        if not path.resolve().is_relative_to(folders[-1]):
            raise PipelineError(
                f"{KEY} is {name!r}, but {path} is a link to {path.resolve()}, outside {folders[-1]}",
                "replace the link with a copy of the file",
            )
    sys.path.insert(0, str(found_in))
    try:
        _check_name_is_free(name, found_in / file, found_in)
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if isinstance(error, PipelineError):
            raise
        raise PipelineError(
            f"{KEY} is {name!r}, but {found_in / file} cannot be imported: {_describe(error, found_in / file)}",
            "fix that file",
        ) from None
    finally:
        sys.path.remove(str(found_in))
    if Path(module.__file__ or "").resolve() != (found_in / file).resolve():
        raise _name_is_taken(name, found_in / file, module.__file__)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise PipelineError(f"{KEY} is {name!r}, but {found_in / file} has no function {function_name!r}", fix)
    loaded: Function = function
    return loaded


def _search_folders(folder: Path) -> list[Path]:
    """Return the pipeline folder and, in a git repository, the folders above it up to the root."""
    above = [folder.resolve(), *folder.resolve().parents]
    root = next((number for number, path in enumerate(above) if (path / ".git").exists()), 0)
    return above[: root + 1]


def _check_name_is_free(name: str, file: Path, folder: Path) -> None:
    """Raise when Python or an installed package already has the top-level name; import nothing to find out."""
    top = name.partition(":")[0].partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # raised for __main__
        spec = None
    origin = spec.origin if spec and spec.has_location else None
    location = origin
    if spec and spec.submodule_search_locations is not None:  # a folder with or without an __init__.py
        location = next(iter(spec.submodule_search_locations), None)
    expected = folder / top if folder / top in file.parents else file
    if top in sys.stdlib_module_names or location is None or Path(location).resolve() != expected.resolve():
        raise _name_is_taken(name, file, origin or location)


def _name_is_taken(name: str, file: Path, owner: str | None) -> PipelineError:
    module_name = name.partition(":")[0]
    return PipelineError(
        f"{KEY} is {name!r}, but the name {module_name!r} is taken by {owner or 'Python'}", f"rename {file}"
    )


def custom_metrics(
    function: Function,
    task: Task,
    y_true: NDArray[Any],
    outputs: NDArray[Any],
    rows: pd.DataFrame,
    threshold: float | None = None,
) -> dict[str, float]:
    """Return the metrics that a custom function computes from predictions.

    Parameters
    ----------
    function : callable
        From `load_function`. It is called with y_true and y_pred, Series of numbers or labels as in the source table;
        y_proba, a DataFrame with a column for each class (None for regression); and rows. All have the same index.
    task : Task
    y_true : array, shape (n_rows,)
    outputs : array, shape (n_rows,) or (n_rows, n_classes)
    rows : DataFrame, shape (n_rows, n_columns)
        The prepared rows.
    threshold : float, optional
        Decision threshold of a binary classification.

    Raises
    ------
    PipelineError
        When the function raises, or returns anything but a dict of finite numbers.
    """
    source = f"{function.__module__}:{function.__name__}, which {KEY} names,"
    index, y_proba = rows.index, None
    if task.labels:
        y_proba = pd.DataFrame(outputs, columns=pd.Index(task.labels), index=index)
        y_true, y_pred = task.decode(y_true), task.decode(predicted_classes(outputs, threshold))
    else:
        y_pred = outputs
    try:
        found = function(
            pd.Series(y_true, index=index).infer_objects(),
            pd.Series(y_pred, index=index).infer_objects(),
            y_proba,
            rows.copy(),
        )
    except (Exception, SystemExit) as error:
        file = Path(sys.modules[function.__module__].__file__ or "")
        raise PipelineError(f"{source} raised {_describe(error, file)}", f"fix it in {file}") from None
    if not isinstance(found, Mapping) or not found:
        raise PipelineError(
            f"{source} returned {short_repr(found)}, not a dict with numbers",
            f"return a dict: {SIGNATURE.format(name=function.__name__)}",
        )
    if len(found) > MAX_METRICS:
        raise PipelineError(f"{source} returned {len(found)} numbers", f"return at most {MAX_METRICS}")
    for name, value in found.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PipelineError(
                f"{source} returned the name {short_repr(name)}",
                "use letters, digits, _, - and ., and do not start with - or .",
            )
        if len(name) > MAX_NAME_LENGTH:
            raise PipelineError(f"{source} returned a name of {len(name)} characters", f"use at most {MAX_NAME_LENGTH}")
        if not _is_finite(value):
            raise PipelineError(f"{source} returned {short_repr(value)} for {name!r}", "return finite numbers")
    return {name: float(value) for name, value in found.items()}


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, Real | np.number) and math.isfinite(float(value))
    except OverflowError:
        return False


def _describe(error: BaseException, file: Path) -> str:
    """Return an error's type and message, and the last line of `file` in its traceback."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    line = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}{line}"
