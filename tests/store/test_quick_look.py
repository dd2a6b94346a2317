"""Quick looks at a table: src/train.py with and without MLflow, and src/run_mlflow.py."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.store.open import open_store
from support.folders import make_table
from support.quick_look import IRIS, printed_numbers

pytestmark = pytest.mark.usefixtures("_without_figures")


def test_quick_look_without_mlflow_prints_metrics_and_writes_a_model(
    empty_store: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    make_table().to_csv("data.csv", index=False)
    assert call("train", "data.csv", "--target", "price", "--model", "xgboost", "--output-path", "out/model") == 0
    printed = capsys.readouterr().out
    assert "price: regression" in printed
    metrics = json.loads(Path("out/model/metrics.json").read_text())
    numbers = printed_numbers(printed)
    assert numbers["test_rmse"] == pytest.approx(metrics["test_rmse"], rel=1e-3)
    assert metrics["test_rmse"] < metrics["baseline_rmse"]
    rows = make_table().drop(columns="price").assign(place="MOON")
    predicted = RawRowsModel(Path("out/model")).predict(rows)
    assert predicted.shape == (150,)
    assert not open_store().search_experiments(filter_string="name = 'quick-look'")
    assert sorted(path.name for path in Path("out").iterdir()) == ["model"]


def test_a_rare_class_gets_a_threshold_and_no_weight(empty_store: Path, call: Callable[..., int]) -> None:
    table = make_table()
    table["garden"] = table["price"] > table["price"].quantile(0.88)
    table.drop(columns="price").to_csv("data.csv", index=False)
    assert call("train", "data.csv", "--target", "garden", "--model", "xgboost", "--output-path", "model") == 0
    threshold = json.loads(Path("model/metrics.json").read_text())["threshold"]
    model = RawRowsModel(Path("model"))
    assert threshold != 0.5
    assert model.threshold == threshold
    assert model.model.get_params()["scale_pos_weight"] in (None, 1)
    predicted = model.predict(table)
    assert predicted["prediction"].tolist() == (predicted["probability_True"] >= threshold).tolist()


def test_neural_network_options_and_test_size_are_applied(
    empty_store: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--epochs", "3", "--batch-size", "16", "--learning-rate", "0.01", "--test-size", "0.5")
    arguments = ("--target", "species", "--model", "nn", "--output-path", "model", *options)
    assert call("train", str(IRIS), *arguments) == 0
    assert "74 rows to train on, 75 to test" in capsys.readouterr().out
    network = RawRowsModel(Path("model")).model.named_steps["mlp"]
    assert (network.max_iter <= 3, network.batch_size, network.learning_rate_init) == (True, 16, 0.01)


def test_all_families_are_recorded_and_compared(
    empty_store: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    models = ("random_forest", "xgboost", "nn")
    assert call("run_mlflow", "--dataset", str(IRIS), "--target", "species", "--models", *models) == 0
    printed = capsys.readouterr().out
    client = open_store()
    experiment = client.get_experiment_by_name("quick-look")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.stage = 'experiment'")
    assert {run.info.status for run in runs} == {"FINISHED"}
    by_family = {run.data.tags["family"]: run for run in runs}
    assert set(by_family) == set(models)
    for family, run in by_family.items():
        name, day, clock = str(run.info.run_name).rsplit("_", 2)
        assert (name, len(day), len(clock)) == (family, 8, 6)
        assert {"n_estimators", "random_state"} <= {key.rpartition("__")[2] for key in run.data.params}
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"confusion_matrix.png", "feature_importance.json", "environment.json", "data_profile.json"} <= files
    best = min(models, key=lambda family: by_family[family].data.metrics["cv_log_loss_mean"])
    assert f"{best} *" in printed
    row = next(line.split() for line in printed.splitlines() if line.startswith("accuracy"))
    recorded = [by_family[family].data.metrics["accuracy"] for family in models]
    assert [float(cell) for cell in row[1:]] == pytest.approx(recorded, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "svm"), "'svm' is not a model family"),
        (("--test-size", "1.5"), "--test-size is 1.5"),
        (("--epochs", "3"), "--epochs does not apply to random_forest"),
        (("--model", "nn", "--epochs", "0"), "--epochs is 0; it must be a whole number, 1 or more"),
        (("--model", "nn", "--learning-rate", "-1"), "--learning-rate is -1"),
        (("--use-mlflow", "--experiment-name", "a/b"), "--experiment-name is 'a/b'"),
        (("--output-path", "taken"), "taken exists and is not an empty folder"),
        (("--target", "color"), "color"),
    ],
)
def test_invalid_arguments_give_one_message(
    empty_store: Path,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    Path("taken").write_text("")
    assert call("train", str(IRIS), "--target", "species", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


def test_run_mlflow_names_missing_arguments(call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run_mlflow") == 2
    assert "--dataset" in capsys.readouterr().err
    assert call("run_mlflow", "--dataset", str(IRIS)) == 2
    assert "--target" in capsys.readouterr().err


def test_quick_look_detects_light_curves_and_a_rare_class(
    empty_store: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.datasets.simulated_light_curves import simulate

    pd.DataFrame(simulate(120, 90).table).to_csv("stars.csv", index=False)
    assert call("train", "stars.csv", "--target", "LABEL") == 0
    printed = capsys.readouterr().out
    assert "light curves are turned into features" in printed
    assert "it is the positive class" in printed
    assert printed_numbers(printed)["features"] == 40
