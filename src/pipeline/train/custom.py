"""Metrics of the user's own: a function in the user's repository, named by ``evaluate.custom``."""

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
from pipeline.learn.task import Task
from pipeline.support.section import shown

KEY = "evaluate.custom in params.yaml"
SIGNATURE = "def {name}(y_true, y_pred, y_proba, rows): return {{'profit': 1.0}}"
LONGEST_NAME = 100
MOST_METRICS = 100  # each is logged three times in a run, and MLflow takes a thousand at once
NAME = re.compile(r"\w[\w.-]*")
Function = Callable[..., Mapping[str, float]]


def load_function(name: str, folder: Path) -> Function:
    """Import ``module:function`` from the pipeline folder, or from a folder above it in the same git repository.

    Parameters
    ----------
    name : str
        As `EvaluateParams` has checked it: words joined by dots, a colon, a word.
    folder : Path
        The pipeline folder. Without a git repository around it, nothing above is looked at.

    Raises
    ------
    PipelineError
        When there is no such module or function there, when its name is another module's, or when it cannot be
        imported. Nothing is imported that lies elsewhere.
    """
    module_name, function_name = name.split(":")
    places = _places(folder)
    file = Path(*module_name.split(".")).with_suffix(".py")
    place = next((place for place in places if (place / file).is_file()), None)
    remedy = f"write {file} in the pipeline folder, with: {SIGNATURE.format(name=function_name)}"
    if place is None:
        above = f" or above, up to {places[-1]}" if len(places) > 1 else ""
        raise PipelineError(f"{KEY} is {name!r}, and there is no {file} in {places[0]}{above}", remedy)
    packages = [place / folder / "__init__.py" for folder in file.parents if folder != Path()]
    for read in [place / file, *packages]:
        if not read.resolve().is_relative_to(places[-1]):
            raise PipelineError(
                f"{KEY} is {name!r}, and {read} is a link to {read.resolve()}, outside {places[-1]}",
                "copy the file itself there",
            )
    sys.path.insert(0, str(place))
    try:
        _check_is_free(name, place / file, place)
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if isinstance(error, PipelineError):
            raise
        raise PipelineError(
            f"{KEY} is {name!r}, and {place / file} cannot be imported: {_described(error, place / file)}",
            "mend that file",
        ) from None
    finally:
        sys.path.remove(str(place))
    if Path(module.__file__ or "").resolve() != (place / file).resolve():
        raise _taken(name, place / file, module.__file__)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise PipelineError(f"{KEY} is {name!r}, and {place / file} has no function {function_name!r}", remedy)
    found: Function = function
    return found


def _places(folder: Path) -> list[Path]:
    """Return the pipeline folder and those above it, up to the root of its git repository; alone without one."""
    above = [folder.resolve(), *folder.resolve().parents]
    root = next((number for number, place in enumerate(above) if (place / ".git").exists()), 0)
    return above[: root + 1]


def _check_is_free(name: str, file: Path, place: Path) -> None:
    """Refuse a module whose name, or whose package's, is Python's or an installed one's; nothing is imported for it."""
    top = name.partition(":")[0].partition(".")[0]
    try:
        found = importlib.util.find_spec(top)
    except ValueError:  # of __main__
        found = None
    origin = found.origin if found and found.has_location else None
    where = origin
    if found and found.submodule_search_locations is not None:  # a folder with or without an __init__.py
        where = next(iter(found.submodule_search_locations), None)
    expected = place / top if place / top in file.parents else file
    if top in sys.stdlib_module_names or where is None or Path(where).resolve() != expected.resolve():
        raise _taken(name, file, origin or where)


def _taken(name: str, file: Path, by: str | None) -> PipelineError:
    module_name = name.partition(":")[0]
    return PipelineError(
        f"{KEY} is {name!r}, and the name {module_name!r} is taken by {by or 'Python'}", f"rename {file}"
    )


def custom_metrics(
    function: Function, task: Task, y_true: NDArray[Any], outputs: NDArray[Any], rows: pd.DataFrame
) -> dict[str, float]:
    """Call the user's function on predictions.

    Parameters
    ----------
    function : callable
        From `load_function`. Called with y_true and y_pred, Series of numbers or labels as in the source table,
        y_proba, DataFrame with a column for every label (None in a regression), and rows; all with the same index.
    task : Task
    y_true : array, shape (n_rows,)
    outputs : array, shape (n_rows,) or (n_rows, n_classes)
    rows : DataFrame, shape (n_rows, n_columns)
        As prepared.

    Raises
    ------
    PipelineError
        When it raises, or returns anything but finite numbers by name.
    """
    where = f"{function.__module__}:{function.__name__}, which {KEY} names,"
    index, y_proba = rows.index, None
    if task.labels:
        y_proba = pd.DataFrame(outputs, columns=pd.Index(task.labels), index=index)
        y_true, y_pred = task.decode(y_true), task.decode(outputs.argmax(axis=1))
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
        raise PipelineError(f"{where} raised {_described(error, file)}", f"mend it in {file}") from None
    if not isinstance(found, Mapping) or not found:
        raise PipelineError(
            f"{where} returned {shown(found)}, not numbers by name",
            f"let it return a dict: {SIGNATURE.format(name=function.__name__)}",
        )
    if len(found) > MOST_METRICS:
        raise PipelineError(f"{where} returned {len(found)} numbers", f"return at most {MOST_METRICS}")
    for name, value in found.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PipelineError(
                f"{where} returned the name {shown(name)}", "use letters, digits, _, - and . in names, first no . or -"
            )
        if len(name) > LONGEST_NAME:
            raise PipelineError(f"{where} returned a name of {len(name)} letters", f"use at most {LONGEST_NAME}")
        if not _is_finite(value):
            raise PipelineError(f"{where} returned {shown(value)} for {name!r}", "let it return finite numbers")
    return {name: float(value) for name, value in found.items()}


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, Real | np.number) and math.isfinite(float(value))
    except OverflowError:
        return False


def _described(error: BaseException, file: Path) -> str:
    """Return an error's type and text, and the line of `file` that it comes from."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}{where}"
