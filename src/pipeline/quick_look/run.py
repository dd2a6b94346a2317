"""Train quick baselines on a table: fit families without a search, and test them on held-out rows, without DVC."""

import re
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.learn.families import check_installed, family, names, names_with_option
from pipeline.learn.search_params import SearchParams
from pipeline.params.schema import (
    NAME_PATTERN,
    DatasetParams,
    EvaluateParams,
    Params,
    SplitParams,
    TrainParams,
)
from pipeline.prepare.stage import prepare
from pipeline.quick_look.comparison import FamilyResult, QuickLookResult
from pipeline.scaffold.infer import InferredSettings, infer
from pipeline.scaffold.new_pipeline import describe, read_table_with_codes
from pipeline.support.files import remove_unfinished_files, replace_folder, write_json
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
class QuickLookRequest:
    """The table, families and options of a quick look.

    Attributes
    ----------
    table : Path
        CSV or Parquet file.
    target : str
        The column to predict.
    models : list of str
        Names of the families.
    test_size : float
        Share of the rows in the test set.
    options : dict of str to number
        Values of hyperparameters, by the names in the families' `quick_options`.
    experiment_name : str, optional
        The MLflow experiment to record runs in; None to record nothing.
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


def run_quick_look(request: QuickLookRequest, output: Path | None = None) -> QuickLookResult:
    """Fit and test families on a table; the inferred settings are reported as progress.

    Parameters
    ----------
    request : QuickLookRequest
    output : Path, optional
        A new or empty folder for the first family's model and its metrics.

    Returns
    -------
    QuickLookResult

    Raises
    ------
    PipelineError
        If the table, an option or the store cannot be used.
    """
    if output and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise PipelineError(f"{output} exists and is not an empty folder", "choose another folder with --output-path")
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)  # so that a problem appears before the fits
    _check(request)
    inferred = infer(read_table_with_codes(request.table), request.target, str(request.table))
    progress(describe(inferred))
    params = _params(request, inferred)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(params.dataset, folder, features=params.features)
        tables = load_tables(folder, params)
        data = tables.data
        evaluation = Evaluation.from_params(params.evaluate, data, tables.rows, folder)
        setup = Setup.open(params, tables, evaluation, Path()) if request.experiment_name else None
        progress(f"{len(data.y_train):,} rows to train on, {len(data.y_test):,} to test\n")
        if setup:
            results = [_fit_in_run(model, setup) for model in request.models]
        else:
            results = [_fit_without_run(model, params.train, data, evaluation) for model in request.models]
    if output:
        _write(results[0], tables.view, output)
    return QuickLookResult(results, evaluation, request.experiment_name, output)


def _params(request: QuickLookRequest, inferred: InferredSettings) -> Params:
    fixed: dict[str, dict[str, Any]] = {model: {} for model in request.models}
    for option, value in request.options.items():
        models = [model for model in names_with_option(option) if model in request.models]
        if not models:
            raise PipelineError(
                f"--{option.replace('_', '-')} does not apply to {', '.join(request.models)}",
                f"remove it, or choose {' or '.join(names_with_option(option))}",
            )
        for model in models:
            name = family(model).quick_options[option]
            if reason := family(model).parameters[name].violation(value):
                raise PipelineError(f"--{option.replace('_', '-')} is {value}; {reason}", "use another value")
            fixed[model][name] = value
    return Params(
        dataset=DatasetParams(
            path=str(request.table.resolve()),
            target=request.target,
            task=inferred.task,
            positive=inferred.positive or None,
            drop_duplicates=not inferred.duplicates_reason,
            drop=list(inferred.drop),
            categorical=list(inferred.categorical),
            max_categories=inferred.max_categories,
            split=SplitParams(strategy=inferred.strategy, column=inferred.split_column, test_size=request.test_size),
        ),
        features=inferred.features_params,
        evaluate=EvaluateParams(threshold="f1" if inferred.imbalance else None),
        train=TrainParams(
            experiment_name=request.experiment_name or EXPERIMENT_NAME,
            models=request.models,
            params=fixed,
            cv_folds=min(FOLDS, inferred.cv_folds),
            search=SearchParams(space={model: {} for model in request.models}),
        ),
    )


def _check(request: QuickLookRequest) -> None:
    unknown = [model for model in request.models if model not in names()]
    if unknown:
        raise PipelineError(f"{unknown[0]!r} is not a model family", f"choose from {', '.join(names())}")
    check_installed(request.models)
    if len(set(request.models)) < len(request.models):
        raise PipelineError(f"{' '.join(request.models)} names a family twice", "name each family once")
    if not 0 < request.test_size < 1:
        raise PipelineError(f"--test-size is {request.test_size:g}", "use a share between 0 and 1, such as 0.3")
    if request.experiment_name is not None and not re.fullmatch(NAME_PATTERN, request.experiment_name):
        raise PipelineError(
            f"--experiment-name is {request.experiment_name!r}", "use at most 100 letters, digits, `.`, `_` and `-`"
        )


def _fit_in_run(model: str, setup: Setup) -> FamilyResult:
    """Fit and test a family in an MLflow run."""
    progress(f"fitting {model} …")
    started = time.monotonic()
    run_name = f"{model}_{datetime.now():%Y%m%d_%H%M%S}"
    experiment = run_experiment(setup, Plan(model, run_name, setup.data.features))
    return FamilyResult(model, experiment.fitted, time.monotonic() - started, experiment.run_id)


def _fit_without_run(model: str, params: TrainParams, data: TrainingData, evaluation: Evaluation) -> FamilyResult:
    progress(f"fitting {model} …")
    started = time.monotonic()
    fitter = Fitter.from_params(model, params, data)
    fitted = fit(fitter, choose(fitter.learner, None), evaluation)
    return FamilyResult(model, fitted, time.monotonic() - started, None)


def _write(result: FamilyResult, view: RawRowsView, output: Path) -> None:
    """Write a model that takes raw rows, its code and its metrics, atomically."""
    file = family(result.family).file
    remove_unfinished_files(output.parent)
    with replace_folder(output) as temporary:
        file.save(result.fitted.model, temporary / file.name)
        write_view(replace(view, threshold=result.fitted.threshold), temporary / file.name, temporary)
        write_json(temporary / "metrics.json", result.fitted.metrics)
