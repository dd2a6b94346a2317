"""A quick look at a table: model families as they are, tested on held-out rows, without DVC and without a search."""

import re
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.learn.families import family, names, names_with
from pipeline.learn.search_params import SearchParams
from pipeline.params.schema import (
    NAME_PATTERN,
    DatasetParams,
    EvaluateParams,
    FeaturesParams,
    Params,
    SplitParams,
    TrainParams,
)
from pipeline.prepare.stage import prepare
from pipeline.quick_look.comparison import Look, Looks
from pipeline.scaffold.infer import Inferred, infer
from pipeline.scaffold.new_pipeline import described, read_as_written
from pipeline.support.files import replacing_folder, sweep_files, write_json
from pipeline.support.progress import progress
from pipeline.train.evaluation import Evaluation
from pipeline.train.experiments import Plan, Setup, run_experiment
from pipeline.train.fit import Fitter, choose, fit
from pipeline.train.raw_rows_view import RawRowsView, write_view
from pipeline.train.tables import load_tables
from pipeline.train.training_data import TrainingData

FOLDS = 3
EXPERIMENT_NAME = "quick-look"
NO_MLFLOW = "warning: MLflow is not installed, so nothing is recorded: pip install mlflow"


@dataclass(frozen=True)
class QuickLook:
    """What is to be looked at, and how.

    Attributes
    ----------
    table : Path
        CSV or Parquet file.
    target : str
    models : list of str
        Families.
    test_size : float
        Share of the rows that models are tested on.
    options : dict of str to number
        Some of those that the families' `quick_options` name.
    experiment_name : str, optional
        Of MLflow; None to record nothing there.
    """

    table: Path
    target: str
    models: list[str]
    test_size: float
    options: dict[str, Any]
    experiment_name: str | None


def has_mlflow() -> bool:
    """Return whether MLflow is installed, so that runs can be recorded."""
    return find_spec("mlflow") is not None


def look(request: QuickLook, output: Path | None = None) -> Looks:
    """Fit and test families on a table; what was inferred of it is reported as progress.

    Parameters
    ----------
    request : QuickLook
    output : Path, optional
        A folder to write the (only) model to, with its metrics.

    Returns
    -------
    Looks

    Raises
    ------
    PipelineError
        When the table, an option or the store cannot be used.
    """
    if output and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise PipelineError(f"{output} exists and is not an empty folder", "name another with --output-path")
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)  # now, not after the fits
    _check(request)
    inferred = infer(read_as_written(request.table), request.target, str(request.table))
    progress(described(inferred))
    params = _params(request, inferred)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(params.dataset, folder)
        tables = load_tables(folder, params)
        data = tables.data
        evaluation = Evaluation.of(params.evaluate, data, tables.rows, folder)
        setup = Setup.of(params, tables, evaluation, Path()) if request.experiment_name else None
        progress(f"{len(data.y_train):,} rows to train on, {len(data.y_test):,} to test\n")
        if setup:
            looks = [_recorded(model, setup) for model in request.models]
        else:
            looks = [_look(model, params.train, data, evaluation) for model in request.models]
    if output:
        _write(looks[0], tables.view, output)
    return Looks(looks, evaluation, request.experiment_name, output)


def _params(request: QuickLook, inferred: Inferred) -> Params:
    fixed: dict[str, dict[str, Any]] = {model: {} for model in request.models}
    for option, value in request.options.items():
        takers = [model for model in names_with(option) if model in request.models]
        if not takers:
            raise PipelineError(
                f"--{option.replace('_', '-')} is nothing to {', '.join(request.models)}",
                f"leave it out, or choose {' or '.join(names_with(option))}",
            )
        for model in takers:
            name = family(model).quick_options[option]
            if reason := family(model).parameters[name].refusal(value):
                raise PipelineError(f"--{option.replace('_', '-')} is {value}; {reason}", "give another value")
            fixed[model][name] = value
    for model in request.models:
        weight = family(model).positive_weight
        if inferred.imbalance and weight:
            fixed[model][weight] = "balanced"
    return Params(
        dataset=DatasetParams(
            path=str(request.table.resolve()),
            target=request.target,
            task=inferred.task,
            positive=inferred.positive or None,
            drop_duplicates=not inferred.keeps_copies,
            drop=list(inferred.drop),
            categorical=list(inferred.categorical),
            max_categories=inferred.max_categories,
            split=SplitParams(strategy=inferred.strategy, test_size=request.test_size),
        ),
        features=FeaturesParams(flux=inferred.flux),
        evaluate=EvaluateParams(choose_by="average_precision" if inferred.imbalance else None),
        train=TrainParams(
            experiment_name=request.experiment_name or EXPERIMENT_NAME,
            models=request.models,
            params=fixed,
            cv_folds=min(FOLDS, inferred.cv_folds),
            search=SearchParams(space={model: {} for model in request.models}),
        ),
    )


def _check(request: QuickLook) -> None:
    unknown = [model for model in request.models if model not in names()]
    if unknown:
        raise PipelineError(f"{unknown[0]!r} is no model family", f"choose of {', '.join(names())}")
    if len(set(request.models)) < len(request.models):
        raise PipelineError(f"{' '.join(request.models)} names a family twice", "name each once")
    if not 0 < request.test_size < 1:
        raise PipelineError(f"--test-size is {request.test_size:g}", "give a share between 0 and 1, such as 0.3")
    if request.experiment_name is not None and not re.fullmatch(NAME_PATTERN, request.experiment_name):
        raise PipelineError(
            f"--experiment-name is {request.experiment_name!r}", "use letters, digits, `.`, `_` and `-`, at most 100"
        )


def _recorded(model: str, setup: Setup) -> Look:
    """Fit and test a family in a run of MLflow."""
    progress(f"fitting {model} …")
    started = time.monotonic()
    run_name = f"{model}_{datetime.now():%Y%m%d_%H%M%S}"
    experiment = run_experiment(setup, Plan(model, run_name, setup.data.features))
    return Look(model, experiment.fitted, time.monotonic() - started, experiment.run_id)


def _look(model: str, params: TrainParams, data: TrainingData, evaluation: Evaluation) -> Look:
    progress(f"fitting {model} …")
    started = time.monotonic()
    fitter = Fitter.of(model, params, data)
    fitted = fit(fitter, choose(fitter.learner, None), evaluation)
    return Look(model, fitted, time.monotonic() - started, None)


def _write(seen: Look, view: RawRowsView, output: Path) -> None:
    """Write a model that takes raw rows, with its code, and its metrics; whole or not at all."""
    file = family(seen.family).file
    sweep_files(output.parent)
    with replacing_folder(output) as written:
        file.save(seen.fitted.model, written / file.name)
        write_view(view, written / file.name, written)
        write_json(written / "metrics.json", seen.fitted.metrics)
