"""Fit AutoGluon on train.parquet of a folder, and write its predictions for test.parquet there.

It runs in the environment of requirements-autogluon.txt: python autogluon_peer.py FOLDER KIND SECONDS THREADS
"""

import json
import sys
import time
from pathlib import Path

import pandas as pd
from autogluon.tabular import TabularPredictor

METRICS = {"regression": "root_mean_squared_error"}


def main(name: str, kind: str, budget: str, n_jobs: str) -> None:
    """Fit for at most `budget` seconds with `n_jobs` threads."""
    folder = Path(name)
    train, test = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    metric = METRICS.get(kind, "log_loss")
    started = time.perf_counter()
    predictor = TabularPredictor(
        "target", problem_type=kind, eval_metric=metric, path=str(folder / "models"), verbosity=0
    )
    predictor.fit(
        train,
        presets="medium_quality",
        time_limit=float(budget),
        excluded_model_types=["NN_TORCH", "FASTAI"],
        num_cpus=int(n_jobs),
        num_gpus=0,
    )
    seconds = time.perf_counter() - started
    outputs = predictor.predict(test).to_frame() if kind == "regression" else predictor.predict_proba(test)
    outputs.columns = [str(label) for label in outputs.columns]
    outputs.to_parquet(folder / "predictions.parquet")
    (folder / "seconds.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
