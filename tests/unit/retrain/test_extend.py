"""Tables extended by labeled predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.features.columns import as_text, infer_kind
from pipeline.params.schema import DatasetParams
from pipeline.prepare.stage import prepare
from pipeline.retrain.extend import Extension, extend
from pipeline.retrain.labels import read_labels
from pipeline.support.files import sha256
from pipeline.support.paths import TEST_TABLE, TRAIN_TABLE
from pipeline.tables.read import read_table

HOUSES = pd.DataFrame(
    {
        "id": [7, 8, 9],
        "size": [50, 60, None],
        "garden": [True, False, True],
        "zip": ["01", "02", "01"],
        "price": [1, 2, 3],
    }
)
PARAMS = DatasetParams(path="houses.csv", target="price", drop=["id"], categorical=["zip"])


def recorded_rows(n_rows: int = 40) -> pd.DataFrame:
    """Return recorded predictions with the columns that matter here."""
    return pd.DataFrame(
        {
            "prediction_id": [f"s-{number}" for number in range(n_rows)],
            "input.size": np.arange(n_rows) + 0.5,
            "input.garden": [True] * n_rows,
            "input.zip": ["03"] * n_rows,
            "prediction": 1.0,
        }
    )


def extend_by_labels(
    folder: Path, params: DatasetParams, labels: pd.DataFrame, rows: pd.DataFrame | None = None
) -> Extension:
    """Write labels to a file, and extend the table by them."""
    labels.to_csv(folder / "labels.csv", index=False)
    return extend(params, folder, recorded_rows() if rows is None else rows, read_labels(folder / "labels.csv", params))


def make_labels(n_rows: int, **columns: Any) -> pd.DataFrame:
    """Return labels for the first recorded rows."""
    ids = [f"s-{number}" for number in range(n_rows)]
    return pd.DataFrame({"prediction_id": ids, "price": np.arange(n_rows) * 10} | columns)


def test_predictions_are_added_once_and_labels_can_be_corrected(tmp_path: Path) -> None:
    HOUSES.to_csv(tmp_path / "houses.csv", index=False)
    first = extend_by_labels(tmp_path, PARAMS, make_labels(30, annotator="me", size=1))
    assert first == Extension("houses+recorded.parquet", 3, 30, 30, 0, ["size", "annotator"])
    table = read_table(tmp_path / first.path)
    assert list(table.columns) == list(HOUSES.columns)
    assert table.head(3)["zip"].tolist() == ["01", "02", "01"]
    assert table.iloc[3].to_dict() == {
        "id": pytest.approx(np.nan, nan_ok=True),
        "size": 0.5,
        "garden": True,
        "zip": "03",
        "price": 0,
    }
    assert [str(kind) for kind in table.dtypes] == ["float64", "float64", "bool", "str", "int64"]

    # The original and the extended table give the same rows, even without older records; labels may change.
    digest = sha256(tmp_path / first.path)
    assert extend_by_labels(tmp_path, PARAMS, make_labels(30)).n_new == 0
    again = PARAMS.model_copy(update={"path": first.path})
    assert extend_by_labels(tmp_path, again, make_labels(30)) == Extension(first.path, 3, 30, 0, 0, [])
    assert sha256(tmp_path / first.path) == digest
    corrected = make_labels(40).assign(
        price=lambda labels: labels["price"] + 1
    )  # includes predictions that are no longer recorded
    more = extend_by_labels(tmp_path, again, corrected, recorded_rows().tail(20))
    assert (more.n_own, more.n_predictions, more.n_new) == (3, 40, 10)
    prices = read_table(tmp_path / first.path)["price"].tolist()
    assert prices == [1, 2, 3, *range(1, 401, 10)]


def test_texts_are_added_as_the_model_reads_them(tmp_path: Path) -> None:
    HOUSES.to_csv(tmp_path / "houses.csv", index=False)
    rows = recorded_rows().assign(**{"input.zip": ["01", "01.0", "", None, "7.0"] * 8})
    table = read_table(tmp_path / extend_by_labels(tmp_path, PARAMS, make_labels(40), rows).path)
    assert table["zip"].iloc[3:8].fillna("missing").tolist() == ["01", "01", "missing", "missing", "7.0"]


@pytest.mark.filterwarnings("ignore:Series.values returning")  # which pyarrow uses
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_recorded_dates_are_added_to_columns_with_times_and_dates(tmp_path: Path, zone: str | None) -> None:
    times = pd.Series(pd.date_range("2024-01-01 12:00", periods=3, tz=zone))
    HOUSES.assign(sold=times, day=times.dt.date).to_parquet(tmp_path / "houses.parquet")
    params = PARAMS.model_copy(update={"path": "houses.parquet"})
    rows = recorded_rows().assign(**{"input.sold": str(times[1]), "input.day": "2024-01-02"})
    table = read_table(tmp_path / extend_by_labels(tmp_path, params, make_labels(40), rows).path)
    assert table["sold"].tolist()[2:5] == [times[2], times[1], times[1]]
    assert as_text(table["day"]).tolist()[1:4] == ["2024-01-02", "2024-01-03", "2024-01-02"]
    rows.loc[0, "input.sold"] = "unknown"
    table = read_table(tmp_path / extend_by_labels(tmp_path, params, make_labels(40), rows).path)
    assert table["sold"].isna().sum() == 1


def test_own_rows_keep_their_split_when_missing_values_change_their_types(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The integer column of the split is not an input, so it is missing in recorded predictions."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"size": rng.uniform(1, 9, 600), "block": np.arange(600) % 60, "price": rng.random(600)})
    table.to_csv(tmp_path / "houses.csv", index=False)
    split = {"strategy": "stratified", "column": "block"}
    params = DatasetParams(path="houses.csv", target="price", drop=["block"], split=split)
    prepare(params, tmp_path)
    before = {path: pd.read_parquet(tmp_path / path)["size"].tolist() for path in (TRAIN_TABLE, TEST_TABLE)}
    rows = recorded_rows().drop(columns=["input.garden", "input.zip"])
    extension = extend_by_labels(tmp_path, params, make_labels(40), rows)
    prepare(params.model_copy(update={"path": extension.path}), tmp_path)
    for path, sizes in before.items():
        assert pd.read_parquet(tmp_path / path)["size"].tolist()[: len(sizes)] == sizes


def test_predictions_without_a_boolean_are_left_out(tmp_path: Path) -> None:
    HOUSES.to_csv(tmp_path / "houses.csv", index=False)
    rows = recorded_rows().assign(**{"input.garden": [None, True, False, True] * 10})
    extension = extend_by_labels(tmp_path, PARAMS, make_labels(40), rows)
    assert (extension.n_predictions, extension.n_left_out) == (30, 10)
    assert infer_kind(read_table(tmp_path / extension.path)["garden"]) == "boolean"


def test_a_split_by_time_takes_its_column_from_the_labels(tmp_path: Path) -> None:
    days = pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"])
    HOUSES.assign(sold=days).to_parquet(tmp_path / "houses.parquet")
    split = {"strategy": "time", "column": "sold"}
    params = DatasetParams(path="houses.parquet", target="price", drop=["id"], categorical=["zip"], split=split)
    with pytest.raises(PipelineError, match=r"no column 'sold', which dataset\.split of params\.yaml needs \(time"):
        extend_by_labels(tmp_path, params, make_labels(30))
    with pytest.raises(PipelineError, match="'sold' of prediction s-2 is missing in row 3"):
        extend_by_labels(tmp_path, params, make_labels(30, sold=["2026-02-01"] * 2 + [None] + ["2026-02-01"] * 27))
    with pytest.raises(PipelineError, match="'soon' in column 'sold', which is not a time"):
        extend_by_labels(tmp_path, params, make_labels(30, sold="soon"))
    table = read_table(tmp_path / extend_by_labels(tmp_path, params, make_labels(30, sold="2026-02-01")).path)
    assert table["sold"].iloc[[2, 3]].tolist() == [days[2], pd.Timestamp("2026-02-01")]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (make_labels(29), "29 recorded predictions have a label, fewer than 30"),
        (make_labels(41), "1 of 41 labels have no recorded prediction, such as s-40"),
        (make_labels(30).drop(columns="price"), "no column 'price'"),
        (make_labels(30).drop(columns="prediction_id"), "no column 'prediction_id'"),
        (make_labels(30, price=[1.0] * 29 + [None]), "'price' of prediction s-29 is missing in row 30"),
        (
            make_labels(30, price=["1"] * 29 + ["dear"]),
            "'price' of prediction s-29 is 'dear' in row 30, which is not a 32-bit number",
        ),
        (
            make_labels(30, price=[1.0] * 29 + [np.inf]),
            "'price' of prediction s-29 is inf in row 30, which is not a 32-bit number",
        ),
        (
            pd.concat([make_labels(30), make_labels(2) + pd.Series({"prediction_id": "", "price": 1})]),
            "prediction s-0 has the labels 0 in row 1 and 1 in row 31",
        ),
    ],
)
def test_unusable_labels_are_reported_with_their_row(tmp_path: Path, labels: pd.DataFrame, problem: str) -> None:
    HOUSES.to_csv(tmp_path / "houses.csv", index=False)
    with pytest.raises(PipelineError, match=problem):
        extend_by_labels(tmp_path, PARAMS, labels)
    assert not (tmp_path / "houses+recorded.parquet").exists()


def test_labels_of_a_classification_must_be_in_the_table(tmp_path: Path) -> None:
    HOUSES.assign(sold=[1, 0, 1]).to_csv(tmp_path / "houses.csv", index=False)
    params = DatasetParams(path="houses.csv", target="sold", task="classification", drop=["id"], categorical=["zip"])
    labels = make_labels(30, sold=1)
    with pytest.raises(PipelineError, match="prediction s-4 has the label 2, which houses"):
        extend_by_labels(tmp_path, params, labels.assign(sold=[1, 0, 1, 1, 2] + [1] * 25))
    table = read_table(tmp_path / extend_by_labels(tmp_path, params, labels).path)
    assert table["sold"].tolist() == ["1", "0", *["1"] * 31]


def test_columns_that_do_not_fit_are_reported(tmp_path: Path) -> None:
    HOUSES.to_csv(tmp_path / "houses.csv", index=False)
    rows = recorded_rows()
    with pytest.raises(PipelineError, match=r"'size' contains 50\.0 in the table, but 'large' in recorded"):
        extend_by_labels(tmp_path, PARAMS, make_labels(30), rows.assign(**{"input.size": "large"}))
    with pytest.raises(PipelineError, match="has none of the recorded inputs: other"):
        extend_by_labels(tmp_path, PARAMS, make_labels(30), rows[["prediction_id"]].assign(**{"input.other": 1.0}))
    (tmp_path / "houses+recorded.parquet").write_bytes((tmp_path / "houses.csv").read_bytes())
    with pytest.raises(PipelineError, match="is another file"):
        extend_by_labels(tmp_path, PARAMS, make_labels(30))
