"""New pipeline folders for tables: what is inferred, written and refused, and that they run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.params.load import load_params
from support.folders import SMALL
from support.hostile import MISREAD_TEXTS
from support.repositories import change_params, commit, copy_project, git, shell

N = 300


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project, as the current folder."""
    folder = tmp_path / "clone"
    copy_project(folder)
    monkeypatch.chdir(folder)
    return folder


def customers() -> pd.DataFrame:
    """Return a table with every kind of column and an imbalanced target."""
    rng = np.random.default_rng(0)
    label = np.where(np.arange(N) % 10 == 0, "it's: #1", "no")
    return pd.DataFrame(
        {
            "customer_id": rng.integers(0, 90, N),
            "size": np.where(rng.random(N) < 0.1, np.nan, rng.normal(50, 10, N).round(2)),
            "plan": rng.choice(["basic", "pro", "NA "], N),
            "zip": [f"{code:05d}" for code in rng.choice([501, 10001, 94110], N)],
            "signed": pd.date_range("2024-01-01", periods=N).strftime("%d.%m.%Y"),
            "active": rng.random(N) < 0.5,
            "flag": pd.Series(rng.random(N) < 0.5, dtype=object).where(rng.random(N) < 0.9),
            "leak": np.where(label == "no", 0, 1),
            "left": label,
        }
    )


def test_classification_folder_reports_inferences_and_prepares(
    clone: Path, call: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    customers().to_csv("My customers & co.csv", index=False)
    assert call("new_pipeline", "My customers & co.csv", "--target", "left") == 0
    printed = capsys.readouterr().out
    folder = clone / "My-customers-co"
    assert "cd My-customers-co && dvc repro" in printed
    assert "note: 'leak' leaks the target" in printed
    assert "zip          categorical    a code with leading zeros" in printed

    content = yaml.safe_load((folder / "params.yaml").read_text())
    assert content["dataset"] == {
        "path": "../My customers & co.csv",
        "target": "left",
        "task": "classification",
        "positive": "it's: #1",
        "drop": ["customer_id", "leak"],
        "categorical": ["zip"],
        "derived": {},
        "max_categories": 50,
        "split": {"strategy": "stratified", "test_size": 0.2, "seed": 42},
    }
    assert content["features"] == {"dates": {"signed": "%d.%m.%Y"}}
    assert content["train"]["params"] == {}
    assert content["evaluate"] == {"threshold": "f1"}
    assert content["monitor"] == {"max_class_share": None, "min_confidence": None}
    assert content["train"]["experiment_name"] == "My-customers-co"
    assert content["register"] == {"model_name": "My-customers-co-production", "stage": "Staging"}

    monkeypatch.chdir(folder)
    assert call("prepare") == 0
    train = pd.read_parquet("data/processed/train.parquet")
    assert list(train.columns) == ["size", "plan", "zip", "signed", "active", "flag", "left"]
    assert set(train["zip"]) == {"00501", "10001", "94110"}
    assert (train["left"] == "it's: #1").sum() == 24


def test_each_inferred_value_has_an_aligned_comment(clone: Path, call: Callable[..., int]) -> None:
    customers().to_csv("data.csv", index=False)
    call("new_pipeline", "data.csv", "--target", "left", "--into", "a/b")
    text = Path("a/b/params.yaml").read_text()
    lines = dict(line.rsplit("  # ", 1) for line in text.splitlines() if "  # " in line.lstrip(" "))
    assert {len(left) for left in lines if len(left.rstrip()) < 34} == {34}
    reasons = {left.strip(): comment for left, comment in lines.items()}
    assert reasons["- leak"] == "equals the target 'left' or recodes it one to one"
    (positive,) = (reason for left, reason in reasons.items() if left.startswith("positive:"))
    assert positive == '"it\'s: #1" is in 10 % of the rows'
    assert reasons["task: classification"].startswith("text with 2 classes: 'no' (270 rows)")
    assert reasons["# strategy: group"].startswith("if rows with the same value belong together: log loss ")
    assert "    # column: customer_id\n" in text
    assert "convert it to ISO 8601" in reasons["# strategy: time"]
    assert reasons["# column: signed"] == "is then not a feature: remove it from features.dates"
    assert reasons["n_candidates: null"] == "number of candidates; null: by the number of rows"


def test_names_that_yaml_could_misread_are_preserved(
    clone: Path, call: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: "the same" for name in MISREAD_TEXTS}, index=range(N))
    table["target: #1"] = rng.normal(size=N)
    table["no"] = rng.choice(["a", "b"], N)
    table["line\nbreak"] = 7
    table["code: no"] = [f"{code:03d}" for code in rng.integers(0, 9, N)]
    table.to_csv("tables.csv", index=False)
    assert call("new_pipeline", "tables.csv", "--target", "target: #1", "--into", "examples/déjà vu") == 0
    monkeypatch.chdir(clone / "examples" / "déjà vu")
    params = load_params()
    assert params.dataset.drop == [*MISREAD_TEXTS, "line\nbreak"]
    assert params.dataset.categorical == ["code: no"]
    assert params.train.experiment_name == "deja-vu"
    assert call("prepare") == 0
    profile = json.loads(Path("mlartifacts/prepare/data_profile.json").read_text())
    assert list(profile["columns"]) == ["target: #1", "no", "code: no"]
    assert "Data and pipelines are up to date" not in shell(Path(), "dvc", "status")


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (np.arange(N) % 3, "classification"),
        (np.arange(N) % 15, "regression"),
        (np.arange(N) % 2 == 0, "classification"),
        (np.where(np.arange(N) < N - 2, "common", "rare"), "classification"),
    ],
)
def test_every_kind_of_target_prepares(
    target: object, task: str, clone: Path, call: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pd.DataFrame({"size": np.random.default_rng(0).normal(size=N), "y": target}).to_parquet("a.parquet")
    assert call("new_pipeline", "a.parquet", "--target", "y") == 0
    monkeypatch.chdir(clone / "a")
    assert load_params().dataset.task == task
    assert call("prepare") == 0


def test_task_option_overrides_inference(clone: Path, call: Callable[..., int]) -> None:
    pd.DataFrame({"size": np.random.default_rng(0).normal(size=N), "y": np.arange(N) % 3}).to_csv("a.csv", index=False)
    assert call("new_pipeline", "a.csv", "--target", "y", "--task", "regression") == 0
    assert load_params(Path("a/params.yaml")).dataset.task == "regression"
    assert "train_rmse, valid_rmse" in Path("a/dvc.yaml").read_text()


def test_light_curves_become_features(clone: Path, call: Callable[..., int]) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(N, 30)), columns=[f"FLUX.{number}" for number in range(1, 31)])
    table.assign(LABEL=np.arange(N) % 2 + 1).to_csv("stars.csv", index=False)
    assert call("new_pipeline", "stars.csv", "--target", "LABEL") == 0
    assert load_params(Path("stars/params.yaml")).features.flux


def test_dvc_yaml_has_the_repository_stages_and_plots_of_the_task(clone: Path, call: Callable[..., int]) -> None:
    customers().to_csv("data.csv", index=False)
    call("new_pipeline", "data.csv", "--target", "left", "--into", "examples/a")
    call("new_pipeline", "data.csv", "--target", "size", "--into", "b")
    top, classes, numbers = (
        yaml.safe_load((clone / part / "dvc.yaml").read_text()) for part in ("", "examples/a", "b")
    )
    for folder, written in (("examples/a", classes), ("b", numbers)):
        assert written["stages"].keys() == top["stages"].keys()
        for name, stage in written["stages"].items():
            assert (clone / folder / stage["cmd"].removeprefix("python ")).exists()
            assert len(stage["deps"]) == len(top["stages"][name]["deps"])
            sources = [dep for dep in stage["deps"] if "src/" in dep]
            assert sources
            assert all((clone / folder / dep).resolve().is_relative_to(clone / "src") for dep in sources)
    assert numbers["plots"] == top["plots"]
    titles = [title for plot in classes["plots"] for title in plot]
    assert titles == ["learning curve", "confusion", "importance"]
    assert classes["plots"][1]["confusion"]["template"] == "confusion"
    assert classes["plots"][2] == top["plots"][2]


def test_table_outside_the_repository_gets_an_absolute_path(
    clone: Path, tmp_path: Path, call: Callable[..., int]
) -> None:
    customers().to_csv(tmp_path / "data.csv.gz", index=False)
    assert call("new_pipeline", "../data.csv.gz", "--target", "left") == 0
    assert load_params(Path("data/params.yaml")).dataset.path == str(tmp_path / "data.csv.gz")


def test_refused_requests_write_nothing(
    clone: Path, tmp_path: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*arguments: str) -> str:
        assert call("new_pipeline", *arguments) == 2
        return capsys.readouterr().err

    customers().to_csv("data.csv", index=False)
    table = ("data.csv", "--target", "left")
    Path("kept").mkdir()
    Path("kept/dvc.yaml").write_text("mine")
    assert "dvc.yaml already exists" in refusal(*table, "--into", "kept")
    assert [path.name for path in Path("kept").iterdir()] == ["dvc.yaml"]
    assert Path("kept/dvc.yaml").read_text() == "mine"
    Path("data").mkdir()
    assert "--into data" in refusal(*table)
    assert "is a file" in refusal(*table, "--into", "data.csv")
    assert "is ignored by git" in refusal(*table, "--into", "mlruns/x")
    assert "is ignored by git" in refusal(*table, "--into", ".git/x")
    assert "is not inside a clone of this project" in refusal(*table, "--into", str(tmp_path / "x"))
    assert "has no column 'Left'" in refusal("data.csv", "--target", "Left", "--into", "new")
    assert "does not exist" in refusal("none.csv", "--target", "left", "--into", "new")
    shutil.move(".git", ".no_git")
    assert "is not both a git and a DVC repository" in refusal(*table, "--into", "new")
    shutil.move(".no_git", ".git")
    assert not Path("new").exists()
    assert not Path("mlruns").exists()


def test_report_is_written_on_request_and_ignored(
    clone: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    customers().to_csv("data.csv", index=False)
    commit(clone, "start")
    assert call("new_pipeline", "data.csv", "--target", "left", "--report") == 0
    assert "wrote data/table_report.html: open it in a browser" in capsys.readouterr().out
    assert "data.csv" in Path("data/table_report.html").read_text()
    assert call("new_pipeline", "data.csv", "--target", "left", "--into", "other") == 0
    assert not Path("other/table_report.html").exists()
    git(clone, "add", "data")
    assert git(clone, "status", "--porcelain", "data").splitlines() == ["A  data/dvc.yaml", "A  data/params.yaml"]


def test_new_folder_runs_through_registration(clone: Path, migrated_database: Path, call: Callable[..., int]) -> None:
    table = customers().assign(spent=lambda rows: rows["size"] ** 2 + 100 * rows["active"])
    table.to_csv("spending.csv", index=False)
    commit(clone, "start")
    (clone / "mlruns").mkdir()
    shutil.copy(migrated_database, clone / "mlruns" / "mlflow.db")
    assert call("new_pipeline", "spending.csv", "--target", "spent", "--into", "examples/spending") == 0
    folder = clone / "examples" / "spending"
    content = yaml.safe_load((folder / "params.yaml").read_text())
    small = SMALL | {"search": {name: SMALL["search"][name] for name in ("n_candidates", "max_rounds")}}
    change_params(folder, train=content["train"] | small)
    assert shell(folder, "dvc", "repro").count("Running stage") == 3
    registered = json.loads((folder / "mlartifacts/registration/registered_model.json").read_text())
    assert registered["name"] == "spending-production"

    commit(clone, "a pipeline")
    tracked = git(clone, "ls-files", "examples").splitlines()
    assert sorted(path.removeprefix("examples/spending/") for path in tracked) == [
        "data/processed/.gitignore",
        "dvc.lock",
        "dvc.yaml",
        "mlartifacts/prepare/data_profile.json",
        "mlartifacts/training/best_metrics.json",
        *[f"mlartifacts/training/plots/{name}.csv" for name in ("importance", "learning_curve", "predicted_vs_actual")],
        "models/.gitignore",
        "params.yaml",
    ]
    shell(folder, "python", "../../src/model_register.py", "--stage", "Production")
    assert (folder / "models/production/latest/metadata.json").exists()
    shell(folder, "dvc", "plots", "show")
    (folder / "mlruns").mkdir()
    for name in ("mlruns/x", "mlflow.db"):  # as `mlflow ui` in the folder makes them
        (folder / name).touch()
    assert git(clone, "status", "--porcelain") == ""
