"""Features of dates and times."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from xgboost import XGBRegressor

from pipeline.errors import NotConvertible, PipelineError
from pipeline.features.dates import PARTS, common_offset, part_of, read_times
from pipeline.features.transformer import FEATURES_FILE, FeatureTransformer
from pipeline.onnx.model import to_onnx

DAYS = pd.date_range("2023-12-25 06:30", periods=400, freq="29h")


def fit(rows: pd.DataFrame, **dates: str) -> FeatureTransformer:
    return FeatureTransformer.fit(rows, {"dates": dates})


def test_the_parts_of_a_time_equal_those_of_pandas() -> None:
    times = DAYS.append(pd.DatetimeIndex(["1969-07-20 20:17:40", "0001-01-01", "9999-12-31", "2000-02-29"]))
    values = times.to_numpy("datetime64[s]")
    expected = {
        "year": times.year,
        "month": times.month,
        "day": times.day,
        "weekday": times.day_of_week,
        "hour": times.hour + times.minute / 60 + times.second / 3600,
        "day_of_year_sin": np.sin(2 * np.pi * (times.day_of_year - 1) / 365.25),
        "day_of_year_cos": np.cos(2 * np.pi * (times.day_of_year - 1) / 365.25),
        "elapsed_days": (times.as_unit("s") - pd.Timestamp(0).as_unit("s")).total_seconds() / 86400,
    }
    assert list(expected) == list(PARTS)
    for name, part in expected.items():
        np.testing.assert_allclose(part_of(values, name), part, atol=1e-12, err_msg=name)
    assert np.isnan(part_of(np.array(["NaT"], "datetime64[s]"), "year")).all()


@pytest.mark.parametrize(
    ("values", "date_format", "expected"),
    [
        (["2026-01-31T14:05:00+02:00", " 2026-01-31 ", "2026-13-01", ""], "iso", ["2026-01-31T12:05", "2026-01-31"]),
        (["31.01.2026", "31.1.26", "x"], "%d.%m.%Y", ["2026-01-31"]),
        ([20260131.0, np.nan, 20260132.0, 0.5, 1e300], "%Y%m%d", ["2026-01-31"]),
        ([46053.25, np.nan, 1e300, -1e300, np.inf], "excel", ["2026-01-31T06:00"]),
        ([1769817600.0, np.nan], "unix", ["2026-01-31"]),
        ([1769817600123.0, 1e300], "unix_ms", ["2026-01-31"]),
        (["46053.25", "x"], "excel", ["2026-01-31T06:00"]),
        (["2026-01-31", "now", "Today"], "iso", ["2026-01-31"]),
        (["2026", "now", "today"], "%Y", ["2026-01-01"]),
        (["9999-12-31", "2026-01-31T00:00:00.123456789Z"], "iso", ["9999-12-31", "2026-01-31"]),
    ],
)
def test_values_in_another_format_are_missing(values: list[object], date_format: str, expected: list[str]) -> None:
    is_text = isinstance(values[0], str)
    times = read_times(values if is_text else np.array(values), date_format)  # type: ignore[arg-type]
    assert times[: len(expected)].tolist() == np.array(expected, "datetime64[s]").tolist()
    assert np.isnat(times[len(expected) :]).all()


def test_only_parts_that_vary_become_features(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "size": np.arange(400.0),
            "when": DAYS.strftime("%d.%m.%Y %H:%M"),
            "month": pd.date_range("2024-01-01", periods=400, freq="h").strftime("%b %Y"),
            "day": DAYS.strftime("%Y%m%d").astype(float),
        }
    )
    rows.loc[0, ["when", "day"]] = None
    rows.loc[1, "when"] = "unknown"
    transformer = fit(rows, when="%d.%m.%Y %H:%M", month="%b %Y", day="%Y%m%d")
    parts = [name for name in PARTS if name != "hour"]
    assert transformer.feature_names == [
        "size",
        *(f"when_{part}" for part in PARTS),
        *("day_" + part for part in parts),
    ]
    assert transformer.raw_columns["when_hour"] == ["when"]
    assert "format %d.%m.%Y %H:%M; null if missing" in transformer.descriptions["when"]
    features = transformer.transform(rows)
    assert features.filter(like="when_").isna().all(axis=1).tolist() == [True, True, *[False] * 398]
    assert features["when_hour"].iloc[2] == np.float32(16.5)
    np.testing.assert_array_equal(features["day_year"].iloc[1:], DAYS[1:].year)

    saved = {"transformer": transformer.save(tmp_path, transformer.feature_names)}
    (tmp_path / FEATURES_FILE).write_text(json.dumps(saved), encoding="utf-8")
    loaded = FeatureTransformer.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.transform(rows), features)
    values = {name: [None if pd.isna(value) else value for value in rows[name]] for name in rows}
    np.testing.assert_array_equal(loaded.transform_values(values, loaded.feature_names), features)
    single = {name: column[7:8] for name, column in values.items()}
    np.testing.assert_array_equal(loaded.transform_values(single, loaded.feature_names), features.iloc[7:8])


def test_times_are_local_if_all_have_the_same_offset_else_in_utc() -> None:
    local = pd.Series(DAYS.tz_localize("Asia/Tokyo").map(str))
    assert common_offset(local.tolist(), "iso") == 9 * 3600
    same = fit(pd.DataFrame({"when": local}), when="iso")
    features = same.transform(pd.DataFrame({"when": [local[0], "2023-12-24T21:30:00Z", "2023-12-25 06:30"]}))
    assert features["when_hour"].tolist() == [6.5, 6.5, 6.5]

    berlin = pd.Series(pd.date_range("2024-01-01 12:00", periods=300, freq="25h", tz="Europe/Berlin").map(str))
    different = fit(pd.DataFrame({"when": berlin}), when="iso")
    assert different.transform(pd.DataFrame({"when": berlin[:1]}))["when_hour"].tolist() == [11]


def test_columns_that_cannot_be_dates_are_refused_and_onnx_as_well() -> None:
    rows = pd.DataFrame({"when": DAYS.map(str), "sold": [True, False] * 200, "size": np.arange(400.0)})
    with pytest.raises(PipelineError, match=r"features.dates in params.yaml names 'sold', a boolean column"):
        fit(rows, sold="iso")
    with pytest.raises(
        PipelineError, match=r"features.dates in params.yaml names 'date', which is not an input column"
    ):
        fit(rows, date="iso")
    with pytest.raises(PipelineError, match=r"'when' has no training value in the format '%d.%m.%Y', such as '2023-12"):
        fit(rows, when="%d.%m.%Y")
    with pytest.raises(PipelineError, match=r"'size' has no training value in the format '%Y%m%d', such as 0"):
        fit(rows, size="%Y%m%d")
    transformer = fit(rows, when="iso")
    X = transformer.transform(rows)
    model = XGBRegressor(n_estimators=2).fit(X, X["size"])
    with pytest.raises(NotConvertible, match=r"parts of dates \(features.dates: when\)"):
        to_onnx(transformer, list(X), model, None)
