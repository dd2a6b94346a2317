"""Training in a real store: what the runs, the outputs and the logged models hold."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.errors import PipelineError
from pipeline.learn.families.xgboost import explainable_rows
from pipeline.params.load import load_params
from pipeline.prepare.stage import prepare
from pipeline.store.open import logged_model_id, open_experiment, open_store
from pipeline.support.files import sha256
from pipeline.support.paths import TRAIN_TABLE
from pipeline.train.dataset_input import dataset_input, schema_sample
from pipeline.train.experiments import select_important_features
from pipeline.train.provenance import git_tags
from pipeline.train.reference_profile import PROFILE_FILE
from pipeline.train.stage import train
from support.folders import SMALL, Trained
from support.parts import force_written_parts
from support.repositories import change_params, commit, git

RUN_NAMES = ("exp1_tuned", "exp2_important_features", "exp3_tuned_selected")


def experiment_runs(client: MlflowClient) -> list[Run]:
    """Return the experiment runs, without nested runs, best test RMSE first."""
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.test_rmse ASC"])
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


def read(path: str) -> dict[str, object]:
    content: dict[str, object] = json.loads(Path(path).read_text())
    return content


def test_training_records_complete_runs(trained: Trained, tmp_path: Path) -> None:
    client = open_store()
    runs = {run.info.run_name: run for run in experiment_runs(client)}
    assert set(runs) == set(RUN_NAMES)
    folds = {f"fold_{number}_rmse" for number in (1, 2, 3)}
    metrics = {"test_rmse", "test_mae", "test_r2", "test_mape", "cv_rmse_mean", "cv_rmse_std", "baseline_rmse"}
    for name, run in runs.items():
        assert run.info.status == "FINISHED"
        # Another test may have registered the run, which adds the onnx_ metrics.
        assert metrics | folds == {metric for metric in run.data.metrics if not metric.startswith("onnx_")}
        assert run.data.metrics["test_rmse"] < run.data.metrics["baseline_rmse"]
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {
            "feature_importance.png",
            "feature_importance.json",
            "feature_importance_weight.png",
            "feature_importance_gain.png",
            "feature_importance_cover.png",
            f"shap_summary_{name}.png",
            f"shap_importance_bar_{name}.png",
            "residuals.png",
            "predicted_vs_actual.png",
            "learning_curve.png",
            "model_info.json",
            "environment.json",
            "requirements.txt",
            "params.yaml",
            "data_profile.json",
            "table_report.html",
        } <= files
        figure = Path(client.download_artifacts(run.info.run_id, f"shap_summary_{name}.png", str(tmp_path)))
        assert figure.read_bytes().startswith(b"\x89PNG")

        params = run.data.params
        assert params["n_estimators"] == params["num_boost_round"]
        stated = (
            "objective",
            "base_score",
            "max_depth",
            "learning_rate",
            "gamma",
            "max_bin",
            "subsample",
            "tree_method",
        )
        assert all(params[key] != "None" for key in stated)
        assert (params["random_state"], params["dataset.split.seed"], params["train.seed"]) == ("42", "42", "42")
        assert (params["shap_rows"], params["search_rows"]) == ("30", "120")
        assert run.data.tags["reproducible"] == "true"
        assert run.data.tags["git_commit"] == git(trained.folder, "rev-parse", "HEAD")
        assert run.data.tags["git_dirty"] == "false"
        assert run.data.tags["data_sha256"] == sha256(Path("data.csv"))
        inputs = {entry.dataset.name: entry for entry in run.inputs.dataset_inputs}
        assert set(inputs) == {"data.csv (train)", "data.csv (test)"}
        tags = {tag.key: tag.value for tag in inputs["data.csv (train)"].tags}
        assert tags == {"mlflow.data.context": "train", "sha256": sha256(Path("data/processed/train.parquet"))}
        info = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/model_info.json")
        assert info["n_features"] == len(info["feature_names"]) > 0
        assert info["model_type"] == "XGBRegressor"
        environment = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/environment.json")
        assert {"python", "os", "machine"} < set(environment)
        assert environment["packages"]["xgboost"] == xgboost.__version__


def nested_runs(client: MlflowClient, run: Run, tag: str) -> list[Run]:
    query = f"tags.`mlflow.parentRunId` = '{run.info.run_id}' and tags.{tag} != ''"
    return client.search_runs([run.info.experiment_id], query)


def test_each_candidate_is_a_nested_run_with_its_folds(trained: Trained) -> None:
    client = open_store()
    for run in experiment_runs(client):
        nested = nested_runs(client, run, "candidate")
        n_candidates = {"exp1_tuned": 2, "exp2_important_features": 0, "exp3_tuned_selected": 1}
        assert len(nested) == n_candidates[str(run.info.run_name)]
        assert sorted(candidate.data.tags["candidate"] for candidate in nested) == ["1", "2"][: len(nested)]
        for candidate in nested:
            metrics, tags = candidate.data.metrics, candidate.data.tags
            folds = [metrics[name] for name in sorted(metrics) if name.startswith("fold_")]
            assert candidate.info.status == "FINISHED"
            assert candidate.info.run_name == f"{run.info.run_name}_candidate_{int(tags['candidate']):03d}"
            assert set(candidate.data.params) == {"max_depth", "learning_rate", "rounds"}
            assert candidate.outputs is None or not candidate.outputs.model_outputs
            assert tags["family"] == "xgboost"
            assert tags["folds"] == ",".join(str(number) for number in range(1, len(folds) + 1))
            if tags["dropped"] == "true":
                assert len(folds) < 3
                assert "cv_rmse_mean" not in metrics
            else:
                assert len(folds) == 3
                assert metrics["cv_rmse_mean"] == pytest.approx(np.mean(folds))
                assert metrics["cv_rmse_std"] == pytest.approx(np.std(folds))
        assert run.info.run_name == "exp2_important_features" or "false" in {
            candidate.data.tags["dropped"] for candidate in nested
        }


def test_each_fold_is_a_nested_run_with_validation_metrics(trained: Trained) -> None:
    client = open_store()
    for run in experiment_runs(client):
        folds = sorted(nested_runs(client, run, "fold"), key=lambda fold: fold.data.tags["fold"])
        assert [fold.data.tags["fold"] for fold in folds] == ["1", "2", "3"]
        for number, fold in enumerate(folds, start=1):
            assert fold.info.status == "FINISHED"
            assert fold.info.run_name == f"{run.info.run_name}_fold_{number}"
            assert set(fold.data.metrics) == {"valid_rmse", "valid_mae", "valid_r2", "valid_mape"}
            assert fold.data.metrics["valid_rmse"] == pytest.approx(run.data.metrics[f"fold_{number}_rmse"], rel=1e-5)
            assert fold.data.params == {"rounds": run.data.params["n_estimators"]}
        scores = [fold.data.metrics["valid_rmse"] for fold in folds]
        assert run.data.metrics["cv_rmse_mean"] == pytest.approx(np.mean(scores))
        assert run.data.metrics["cv_rmse_std"] == pytest.approx(np.std(scores))


def test_outputs_name_the_cross_validation_winner(trained: Trained) -> None:
    info, metrics = read("mlartifacts/training/best_model_info.json"), read("mlartifacts/training/best_metrics.json")
    summary = read("mlartifacts/training/experiments_summary.json")
    best = min(trained.experiments, key=lambda experiment: experiment.fitted.metrics["cv_rmse_mean"])
    assert info == {
        "mlflow_run_id": best.run_id,
        "model_uri": f"models:/{best.model_id}",
        "model_id": best.model_id,
        "run_name": best.run_name,
        "family": "xgboost",
        "experiment_name": "small",
        "model_sha256": best.model_sha256,
        "data_sha256": sha256(Path("data.csv")),
        "feature_names": best.fitted.features,
    }
    assert metrics["cv_rmse_mean"] == pytest.approx(best.fitted.metrics["cv_rmse_mean"], rel=1e-5)
    assert {entry["run_name"] for entry in summary["experiments"]} == set(RUN_NAMES)  # type: ignore[attr-defined]
    assert summary["chosen_by"] == "cv_rmse_mean"
    stages = {run.info.run_id: run.data.tags["stage"] for run in experiment_runs(open_store())}
    assert stages == {
        each.run_id: "production_candidate" if each == trained.experiments[0] else "experiment"
        for each in trained.experiments
    }
    assert trained.experiments[0].run_id == best.run_id
    outside = [path for path in trained.folder.rglob("*.ubj") if not path.is_relative_to(trained.folder / "models")]
    models = [path for path in outside if path.is_relative_to(trained.folder / "mlruns")]
    assert models == outside
    assert len(models) == 3
    assert best.model_sha256 in {sha256(path) for path in models}
    curve = pd.read_csv("mlartifacts/training/plots/learning_curve.csv")
    assert list(curve["round"]) == list(
        range(1, best.fitted.scores.n_rounds + 1)
    )  # few enough that every round is scored
    assert list(pd.read_csv("mlartifacts/training/plots/importance.csv")["feature"]) != []
    assert len(pd.read_csv("mlartifacts/training/plots/predicted_vs_actual.csv")) == 30


def test_experiments_share_parameters_and_features_as_documented(trained: Trained) -> None:
    by_name = {experiment.run_name: experiment for experiment in trained.experiments}
    first, second, third = (by_name[name] for name in RUN_NAMES)
    assert second.fitted.sampled == first.fitted.sampled
    assert second.fitted.scores.n_rounds == first.fitted.scores.n_rounds
    assert second.fitted.features == third.fitted.features == select_important_features(first, 0.99)
    assert set(second.fitted.features) <= set(first.fitted.features)


def test_logged_model_has_native_and_raw_rows_views(trained: Trained, table: pd.DataFrame) -> None:
    for experiment in trained.experiments:
        bare = mlflow.xgboost.load_model(f"runs:/{experiment.run_id}/model")
        raw = mlflow.pyfunc.load_model(f"runs:/{experiment.run_id}/model")
        assert type(bare).__name__ == "XGBRegressor"
        test = pd.read_parquet("data/processed/test.parquet")
        np.testing.assert_array_equal(raw.predict(test), experiment.fitted.outputs)
        assert [column.name for column in raw.metadata.signature.inputs] == ["size <m2>", "rooms", "place", "garden"]
        assert len(raw.input_example) == 5
        unseen = test.head(1).assign(place="MOON")
        assert np.isfinite(raw.predict(unseen)).all()


def test_training_in_another_folder_is_byte_identical(trained: Trained, pipeline_folder: Path) -> None:
    with Path("params.yaml").open("a") as file:
        file.write("# changed\n")
    prepare(load_params().dataset, pipeline_folder)
    again = train(load_params(), pipeline_folder).experiments
    assert [each.model_sha256 for each in again] == [each.model_sha256 for each in trained.experiments]
    outputs = trained.folder / "mlartifacts"
    for path in ("training/best_metrics.json", "training/plots/learning_curve.csv", "prepare/data_profile.json"):
        assert (Path("mlartifacts") / path).read_bytes() == (outputs / path).read_bytes()
    for second, first in zip(again, trained.experiments, strict=True):
        profiles = [
            folder / "mlruns" / "small" / "models" / model_id / "artifacts" / PROFILE_FILE
            for folder, model_id in ((pipeline_folder, second.model_id), (trained.folder, first.model_id))
        ]
        assert profiles[0].read_bytes() == profiles[1].read_bytes()
        figures = sorted(Path(f"mlruns/small/{second.run_id}/artifacts").glob("*.png"))
        assert len(figures) == 9
        for figure in figures:
            twin = trained.folder / "mlruns" / "small" / first.run_id / "artifacts" / figure.name
            assert figure.read_bytes() == twin.read_bytes()
    assert {run.data.tags["git_dirty"] for run in experiment_runs(open_store())} == {"true"}


def test_tables_in_parts_give_the_same_models(
    trained: Trained, pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables are folders of files, but of the same rows."""
    force_written_parts(monkeypatch, 40)
    params = load_params()
    prepare(params.dataset, pipeline_folder)
    assert len(list((pipeline_folder / TRAIN_TABLE).iterdir())) == 4
    experiments = train(params, pipeline_folder).experiments
    assert {run.run_name: run.model_sha256 for run in experiments} == {
        run.run_name: run.model_sha256 for run in trained.experiments
    }
    assert experiments[0].fitted.metrics == trained.experiments[0].fitted.metrics


def test_changed_outputs_and_lock_do_not_make_a_commit_dirty(pipeline_folder: Path) -> None:
    Path("mlartifacts").mkdir()
    Path("mlartifacts/numbers.json").write_text("{}")
    Path("dvc.lock").write_text("")
    commit(pipeline_folder, "outputs")
    Path("mlartifacts/numbers.json").unlink()
    Path("dvc.lock").write_text("changed")
    assert git_tags(pipeline_folder)["git_dirty"] == "false"
    Path("dvc.yaml").write_text("changed")
    assert git_tags(pipeline_folder)["git_dirty"] == "true"
    assert git_tags(Path("/")) == {}


@pytest.mark.usefixtures("_without_figures")
def test_row_sampling_and_time_budget_are_reported_and_recorded(
    pipeline_folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    search = {**SMALL["search"], "max_rows": 100, "time_budget": 0.001, "n_candidates": 50}  # type: ignore[dict-item]
    change_params(pipeline_folder, train={"experiment_name": "small", **SMALL, "search": search})
    prepare(load_params().dataset, pipeline_folder)
    assert call("model_train") == 0
    printed = capsys.readouterr().out
    winner = json.loads(Path("mlartifacts/training/best_model_info.json").read_text())
    assert f"{winner['run_name']} wins by cv_rmse_mean; its run is {winner['mlflow_run_id']}\n" in printed
    assert re.search(
        r"model_train: to view it: (MLFLOW_TRACKING_URI=\S+ )?python \S*src/run_mlflow\.py --ui\n", printed
    )
    assert "searching on 100 of 120 training rows" in printed
    assert "the same seed may give a different model" in printed
    for run in experiment_runs(open_store()):
        assert run.data.tags["reproducible"] == "false"
        assert run.data.params["search_rows"] == "100"


def test_deeper_trees_and_trees_with_more_leaves_allow_fewer_explained_rows() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(3000, 6)).astype("float32"), columns=list("abcdef"))
    y = rng.normal(size=3000)
    allowed = []
    leafwise = {"grow_policy": "lossguide", "max_depth": 12}
    for growth in ({"max_depth": 8}, {"max_depth": 3}, {"max_leaves": 60, **leafwise}, {"max_leaves": 6, **leafwise}):
        model = xgboost.XGBRegressor(n_estimators=40, n_jobs=2, **growth).fit(X, y)
        allowed.append(explainable_rows(model, row_rounds=3 * 3000 * 40, n_fits=4))
    assert 10 < allowed[0] < allowed[1]  # deep trees have more leaves to visit for each row
    assert 10 < allowed[2] < allowed[3]


@pytest.mark.usefixtures("_without_figures")
def test_failing_experiment_leaves_a_failed_run_and_no_outputs(
    pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load_params()
    prepare(params.dataset, pipeline_folder)
    monkeypatch.setattr("pipeline.train.experiments.fit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(params, pipeline_folder)
    (run,) = experiment_runs(open_store())
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == "ZeroDivisionError: division by zero"
    assert not Path("mlartifacts/training/best_model_info.json").exists()


def test_missing_or_changed_tables_are_named(
    pipeline_folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("model_train") == 2
    assert "data_profile.json does not exist" in capsys.readouterr().err
    prepare(load_params().dataset, pipeline_folder)
    Path("data/processed/test.parquet").unlink()
    assert call("model_train") == 2
    assert "test.parquet does not exist" in capsys.readouterr().err
    prepare(load_params().dataset, pipeline_folder)
    pd.read_parquet("data/processed/train.parquet").head(99).to_parquet("data/processed/train.parquet")
    assert call("model_train") == 2
    assert "is not the table that" in capsys.readouterr().err


def test_tables_prepared_with_other_params_are_rejected(pipeline_folder: Path, call: Callable[..., int]) -> None:
    prepare(load_params().dataset, pipeline_folder)
    change_params(pipeline_folder, dataset={"path": "data.csv", "target": "rooms"})
    with pytest.raises(PipelineError, match="prepared with a different dataset section"):
        train(load_params(), pipeline_folder)


def test_unwritable_output_folder_gives_one_message(
    pipeline_folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(load_params().dataset, pipeline_folder)
    Path("mlartifacts/training").write_text("not a folder")
    assert call("model_train") == 2
    assert capsys.readouterr().err.startswith("error: mlartifacts/training")
    assert not open_store().search_experiments(filter_string="name = 'small'")


def test_run_without_a_logged_model_raises(trained: Trained) -> None:
    client = open_store()
    run = client.create_run(open_experiment(client, "other"))
    with pytest.raises(PipelineError, match="has no logged model"):
        logged_model_id(run)


def test_dataset_input_equals_that_of_mlflow(pipeline_folder: Path) -> None:
    params = load_params().dataset
    table = pd.DataFrame(
        {
            "late_gap": [1.0, 2.0, np.nan, 4.0],
            "late_value": [np.nan, np.nan, np.nan, 4.0],
            "text": ["a", "b", "c", None],
            "flag": [True, False, True, False],
            "group": [1, 1, 2, 2],
            params.target: [1.0, 2.0, 3.0, 4.0],
        }
    )
    expected = mlflow.data.pandas_dataset.from_pandas(
        table,
        source=mlflow.data.sources.LocalArtifactDatasetSource(params.path),
        targets=params.target,
        name=f"{Path(params.path).name} (train)",
        digest="d" * 36,
    )
    dataset = dataset_input(schema_sample(table), len(table), "train", "d" * 64, params)
    with pytest.warns(UserWarning, match="integer column"):
        assert dict(dataset.dataset) == expected.to_dict()
    assert {tag.key: tag.value for tag in dataset.tags} == {"mlflow.data.context": "train", "sha256": "d" * 64}
