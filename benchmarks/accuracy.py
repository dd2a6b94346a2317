"""Compare the test RMSE of XGBoost tuned on raw columns with that of this project and its default features."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from harness import (
    PROJECT,
    Numbers,
    alternate,
    arguments,
    in_child,
    learner_of,
    mean,
    show,
    spread,
    summary,
    tuned,
    write,
)

if TYPE_CHECKING:
    import pandas as pd

N_JOBS = 2
TRIALS = 50
MAX_ROUNDS, PATIENCE = 2000, 50
EQUAL_SEARCH = {"n_candidates": TRIALS, "max_rounds": 800}
UNIT = 100_000  # dollars


def main() -> None:
    """Run the comparison and print the results."""
    options = arguments(__doc__, repeats=5, data=True).parse_args()
    sides = {
        "XGBoost, raw columns, 50 trials": lambda number: in_child(tuned_on_raw_columns, options.data, number),
        "this project, 50 trials": lambda number: in_child(project, options.data, number, EQUAL_SEARCH, True),
        "this project, 50 trials, no neighbors": lambda number: in_child(
            project, options.data, number, EQUAL_SEARCH, False
        ),
        "this project, default params.yaml": lambda number: in_child(project, options.data, number, {}, True),
    }
    results = alternate(sides, options.repeats)
    means = {name: mean(runs, "test_rmse") for name, runs in results.items()}
    raw, *ours = means.values()
    show(
        f"test RMSE in {UNIT:,} dollars, means of {options.repeats} seeds of a 64/16/20 split",
        ["model", "mean", "min - max", "ratio"],
        [[name, means[name], spread(runs, "test_rmse"), means[name] / raw] for name, runs in results.items()],
    )
    numbers: Numbers = {}
    for key, (name, runs) in zip(("raw", "project", "no_neighbors", "as_it_is"), results.items(), strict=True):
        numbers |= summary(f"{key}_test_rmse", runs, "test_rmse") | {f"{key}_test_rmse": means[name]}
    for key, value in zip(("rmse_ratio", "no_neighbors_ratio", "as_it_is_ratio"), ours, strict=True):
        numbers[key] = value / raw
    write(options.json, numbers)


def split_table(path: Path, seed: int) -> "tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]":
    """Split the table into 64 % training, 16 % validation and 20 % test rows."""
    import pandas as pd
    from sklearn.model_selection import train_test_split

    table = pd.read_csv(path)
    table["median_house_value"] /= UNIT
    rest, test = train_test_split(table, test_size=0.2, random_state=seed)
    train, valid = train_test_split(rest, test_size=0.2, random_state=seed)
    return train, valid, test


def rmse(y_true: "pd.Series", y_pred: object) -> float:
    """Return the root mean squared error."""
    return float(np.sqrt(np.mean(np.square(y_true.to_numpy() - np.asarray(y_pred)))))


def tuned_on_raw_columns(path: Path, seed: int) -> Numbers:
    """Tune XGBoost with Optuna and early stopping on the validation rows, as common in tabular benchmarks."""
    import optuna
    import xgboost as xgb

    from pipeline.features.transformer import FeatureTransformer

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parts = split_table(path, seed)
    inputs = [part.drop(columns="median_house_value") for part in parts]
    transformer = FeatureTransformer.fit(inputs[0], {})
    train, valid, test = (
        xgb.DMatrix(transformer.transform(rows), part["median_house_value"], nthread=N_JOBS)
        for rows, part in zip(inputs, parts, strict=True)
    )
    best: dict[str, float] = {"valid": np.inf}

    def objective(trial: optuna.Trial) -> float:
        params = {
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
            "max_depth": trial.suggest_int("max_depth", 3, 10),
            "min_child_weight": trial.suggest_float("min_child_weight", 1, 100, log=True),
            "subsample": trial.suggest_float("subsample", 0.5, 1),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.5, 1),
            "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 10, log=True),
            "gamma": trial.suggest_float("gamma", 0.001, 10, log=True),
        }
        booster = xgb.train(
            {**params, "tree_method": "hist", "nthread": N_JOBS, "seed": seed},
            train,
            MAX_ROUNDS,
            evals=[(valid, "valid")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        if booster.best_score < best["valid"]:
            predicted = booster.predict(test, iteration_range=(0, booster.best_iteration + 1))
            best.update(valid=booster.best_score, test=rmse(parts[2]["median_house_value"], predicted))
        return float(booster.best_score)

    optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed)).optimize(objective, n_trials=TRIALS)
    return {"valid_rmse": best["valid"], "test_rmse": best["test"]}


def project(path: Path, seed: int, search: dict[str, int], neighbors: bool) -> Numbers:
    """Fit features and model on the training rows, with parameters chosen on the validation rows."""
    from pipeline.features.kinds.interface import Target
    from pipeline.features.out_of_fold import OutOfFold
    from pipeline.features.transformer import FeatureTransformer
    from pipeline.params.load import check_params
    from pipeline.tables.folds import table_folds

    content = yaml.safe_load((PROJECT / "params.yaml").read_text())
    content["train"] |= {"seed": seed, "n_jobs": N_JOBS}
    content["train"]["search"] |= search
    if not neighbors:
        content["features"] = {}
    params = check_params(content, "params.yaml")
    target = params.dataset.target
    parts = split_table(path, seed)
    train_rows = parts[0].reset_index(drop=True)
    y = train_rows[target].to_numpy()
    transformer = FeatureTransformer.fit(train_rows.drop(columns=target), params.feature_settings)
    X = transformer.transform(train_rows)
    if neighbors:
        source, training_target, settings = transformer.source(train_rows), Target([target], y), params.feature_settings
        transformer = transformer.with_target(source, training_target, settings)
        folds, names = table_folds(train_rows, params), transformer.target_names
        rows = np.arange(len(y))
        out_of_fold = OutOfFold.fit(transformer, source, training_target, settings, folds, rows, len(y))
        X[names] = out_of_fold.compute(source, out_of_fold.folds, names)
    X_valid, X_test = (transformer.transform(part) for part in parts[1:])
    folds = [(X, y, X_valid, parts[1][target].to_numpy())]
    learner = learner_of(params.train.search, params.train.space_of("xgboost"), seed, N_JOBS, folds)
    sampled, scores = tuned(learner, seed)
    model = learner.estimator(sampled, scores.n_rounds, y)
    learner.fit(model, X, y)
    return {"valid_rmse": scores.mean, "test_rmse": rmse(parts[2][target], model.predict(X_test))}


if __name__ == "__main__":
    main()
