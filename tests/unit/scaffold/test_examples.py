"""The pipeline folders in examples/: valid params.yaml files, and the same stages as the top-level pipeline."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline.params.load import load_params
from pipeline.scaffold.new_pipeline import dvc_yaml
from support.repositories import ROOT

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/params.yaml"))


def test_there_are_examples() -> None:
    assert [folder.name for folder in EXAMPLES] == ["exoplanet", "iris"]


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)
def test_stages_of_examples_equal_the_top_level_ones(folder: Path) -> None:
    task = load_params(folder / "params.yaml").dataset.task
    expected = yaml.safe_load(dvc_yaml(ROOT, folder, task))
    found = yaml.safe_load((folder / "dvc.yaml").read_text())
    found["stages"].pop("simulate", None)
    assert found == expected


def test_iris_table_equals_that_of_scikit_learn() -> None:
    from sklearn.datasets import load_iris

    iris = load_iris(as_frame=True)
    table = pd.read_csv(ROOT / "examples/iris/data/raw/iris.csv")
    assert (table.drop(columns="species").to_numpy() == iris.data.to_numpy()).all()
    assert list(table["species"]) == [iris.target_names[number] for number in iris.target]
