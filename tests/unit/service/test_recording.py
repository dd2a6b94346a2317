"""Every prediction is recorded exactly once, despite kills and full or missing folders, and is always readable."""

import logging
import os
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import PipelineError
from pipeline.service.recording import parquet_log, recorder
from pipeline.service.recording.parquet_log import ParquetLog, merge_orphaned
from pipeline.service.recording.parts import Part, parts_in, without_covered
from pipeline.service.recording.read import read_predictions
from pipeline.service.recording.recorder import Recorder
from pipeline.service.recording.table import table_of
from pipeline.service.records import Columns, ModelIdentity, Outputs, PredictionRecord
from support.processes import NO_PROCESS
from support.recording import NAME, model_identity, predicted_request, recorded_ids, wait_until

ODD_NAMES = ["size <m2>", "a.b/c", "", "prediction", "Größe ✓", "label"]


@pytest.fixture
def model() -> ModelIdentity:
    return model_identity({"x": [1.0, 2.0]})


@pytest.fixture
def start_recorder(tmp_path: Path) -> Iterator[Callable[..., Recorder]]:
    """Return a function that starts a recorder in the test's folder; stop all recorders afterwards."""
    started = []

    def start(max_rows: int = 10_000, *observers: recorder.Observer) -> Recorder:
        started.append(Recorder(tmp_path, max_rows, observers))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop(10)


def test_regression_predictions_are_read_as_recorded(tmp_path: Path, start_recorder: Callable[..., Recorder]) -> None:
    table = {name: [1.0, 2.0] for name in ODD_NAMES} | {"garden": [True, False], "code": ["501", "7"]}
    model = model_identity(table)
    given: Columns = {name: [float(index), None] for index, name in enumerate(ODD_NAMES)}
    given |= {"garden": [None, True], "code": ["501", "NEAR [BAY]"]}
    all_missing = {name: [None] for name in given}
    recording = start_recorder()
    moment = 1_700_000_000.123456
    outputs = Outputs([1.25, -3.5])
    recording.put(
        predicted_request(model, ["a", "b"], given, time=moment, outputs=outputs, elapsed_ms=0.75, arm="challenger")
    )
    recording.put(predicted_request(model, ["c"], all_missing, time=moment + 1))
    recording.stop(10)

    read = read_predictions(tmp_path, NAME)
    metadata_columns = ["prediction_id", "time", "model_name", "model_version", "arm", "elapsed_ms"]
    assert read.column_names == [*metadata_columns, *(f"input.{name}" for name in given), "prediction"]
    (part,) = parts_in(tmp_path / NAME)
    metadata = pq.read_schema(part.path).metadata
    assert metadata == {b"model_name": NAME.encode(), b"model_version": b"1", b"run_id": b"run1"}
    assert read.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert {read.schema.field(f"input.{name}").type for name in ODD_NAMES} == {pa.float64()}
    first, second, third = read.to_pylist()
    recorded_at = datetime.fromtimestamp(moment, UTC)
    assert list(first.values())[:6] == ["a", recorded_at, NAME, 1, "challenger", 0.75]
    assert [first[f"input.{name}"] for name in given] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, None, "501"]
    assert [second[f"input.{name}"] for name in given] == [None] * 6 + [True, "NEAR [BAY]"]
    assert all(third[f"input.{name}"] is None for name in given)
    assert (first["prediction"], second["prediction"], third["arm"]) == (1.25, -3.5, "production")

    notebook = pd.read_parquet(tmp_path / NAME)
    assert notebook["input.a.b/c"].isna().tolist() == [False, True, True]
    assert pd.read_parquet(tmp_path / NAME, columns=["input.a.b/c", "prediction"]).shape == (3, 2)


@pytest.mark.parametrize(
    ("labels", "kind"), [(["no", "<b>"], pa.string()), ([2, 10, 30], pa.int64()), ([False, True], pa.bool_())]
)
def test_classes_keep_their_type_and_have_a_probability_each(
    labels: list[Any], kind: pa.DataType, tmp_path: Path, start_recorder: Callable[..., Recorder]
) -> None:
    model = model_identity({"x": [1.0, 2.0]}, labels)
    recording = start_recorder()
    rest = [0.0] * (len(labels) - 2)
    outputs = Outputs([labels[1], labels[0]], [[0.25, 0.75, *rest], [0.625, 0.375, *rest]])
    recording.put(predicted_request(model, ["a", "b"], {"x": [0.0, None]}, outputs=outputs))
    recording.stop(10)
    read = read_predictions(tmp_path, NAME)
    texts = [str(label) for label in labels]
    expected = ["input.x", "prediction", "label", "confidence", *(f"probability.{text}" for text in texts)]
    assert read.column_names[6:] == expected
    assert read.schema.field("prediction").type == kind
    first, second = (list(row.values())[6:] for row in read.to_pylist())
    assert first == [0.0, labels[1], texts[1], 75.0, 0.25, 0.75, *rest]
    assert second == [None, labels[0], texts[0], 62.5, 0.625, 0.375, *rest]


def test_an_invalid_record_does_not_cost_the_others(model: ModelIdentity) -> None:
    records = [predicted_request(model, [str(number)]) for number in range(3000)]
    records[1234] = predicted_request(model, ["wrong"], {"x": ["text"]})
    table, problem = table_of(model, records)
    assert table.column("prediction_id").to_pylist() == [str(number) for number in range(3000) if number != 1234]
    assert problem is not None
    assert "text" in problem


def test_rows_beyond_the_queue_are_dropped_and_counted(tmp_path: Path, model: ModelIdentity) -> None:
    recording = Recorder(tmp_path, 10)
    assert [recording.put(predicted_request(model, [f"{n}a", f"{n}b", f"{n}c"])) for n in range(5)] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert recording.put(predicted_request(model, ["x"]))
    assert recording.state() == {"queued_rows": 10, "written_rows": 0, "dropped_rows": 6, "last_error": None}
    recording.start()
    recording.stop(10)
    assert recording.state() == {"queued_rows": 0, "written_rows": 10, "dropped_rows": 6, "last_error": None}
    assert len(recorded_ids(tmp_path)) == 10
    assert not recording.put(predicted_request(model, ["late"]))
    assert recording.state()["dropped_rows"] == 7


def test_stopping_loses_nothing_and_observers_get_every_record(
    tmp_path: Path, model: ModelIdentity, start_recorder: Callable[..., Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def failing_observer(records: list[PredictionRecord]) -> None:
        raise ZeroDivisionError

    def observe(records: list[PredictionRecord]) -> None:
        seen.extend(id_ for record in records for id_ in record.ids)

    recording = start_recorder(100_000, failing_observer, observe)

    def put(thread: int) -> None:
        for number in range(500):
            assert recording.put(
                predicted_request(model, [f"{thread}.{number}.{row}" for row in range(1 + number % 7)])
            )
            time.sleep(0.002)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recording.stop(10)
    expected = {
        f"{thread}.{number}.{row}" for thread in range(3) for number in range(500) for row in range(1 + number % 7)
    }
    written = recorded_ids(tmp_path)
    assert len(written) == len(expected) == recording.state()["written_rows"]
    assert set(written) == expected == set(seen)
    assert len(seen) == len(expected)
    assert len(list((tmp_path / NAME).glob("*.parquet"))) > 1
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


def test_two_versions_with_different_columns_are_read_as_one_table(
    tmp_path: Path, start_recorder: Callable[..., Recorder]
) -> None:
    old = model_identity({"x": [1.0, 2.0], "code": [1.0, 2.0], "flag": [True, False]}, [1, 2], version=1)
    new = model_identity(
        {"x": [1.0, 2.0], "code": ["1", "B"], "flag": [0.5, 2.0], "y": [True, False]}, ["1", "B"], version=12
    )
    recording = start_recorder()
    old_columns: Columns = {"x": [0.5], "code": [7.0], "flag": [True]}
    new_columns: Columns = {"x": [1.5], "code": ["7a"], "flag": [None], "y": [False]}
    for moment, (model, columns, label) in enumerate([(old, old_columns, 2), (new, new_columns, "B")] * 2):
        outputs = Outputs([label], [[0.25, 0.75]])
        recording.put(predicted_request(model, [str(moment)], columns, outputs=outputs, time=float(moment)))
    recording.stop(10)
    assert len({part.version for part in parts_in(tmp_path / NAME)}) == 2
    read = read_predictions(tmp_path, NAME)
    columns = read.to_pydict()
    assert columns["prediction_id"] == ["0", "1", "2", "3"]
    assert columns["model_version"] == [1, 12, 1, 12]
    assert columns["input.code"] == ["7", "7a"] * 2
    assert columns["input.flag"] == [1.0, None] * 2
    assert columns["input.y"] == [None, False] * 2
    assert columns["prediction"] == ["2", "B"] * 2
    assert columns["probability.2"] == [0.75, None] * 2
    assert columns["probability.B"] == [None, 0.75] * 2


def test_a_version_number_may_have_different_columns(tmp_path: Path, start_recorder: Callable[..., Recorder]) -> None:
    recording = start_recorder()
    recording.put(predicted_request(model_identity({"x": [1.0, 2.0]}), ["a"], time=0.0))
    recording.put(predicted_request(model_identity({"y": [1.0, 2.0]}), ["b"], time=1.0))
    recording.stop(10)
    assert read_predictions(tmp_path, NAME).select(["prediction_id", "input.x", "input.y"]).to_pylist() == [
        {"prediction_id": "a", "input.x": 1.5, "input.y": None},
        {"prediction_id": "b", "input.x": None, "input.y": 1.5},
    ]


def append_part(log: ParquetLog, model: ModelIdentity, ids: list[str]) -> None:
    log.append(NAME, model.version, table_of(model, [predicted_request(model, ids)])[0])


def test_merging_keeps_every_row_and_limits_file_size(
    tmp_path: Path, model: ModelIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_log, "FILES_PER_MERGE", 4)
    monkeypatch.setattr(parquet_log, "GRACE", 0)
    monkeypatch.setattr(parquet_log, "MAX_ROWS", 100)
    monkeypatch.setattr(parquet_log, "GROUP_ROWS", 30)
    log = ParquetLog(tmp_path)
    other = model_identity({"y": ["a", "b"]}, version=2)
    given = [[f"{part}.{row}" for row in range(part % 9)] for part in range(101)] + [["large"] * 250, ["last"]]
    for ids in given:
        append_part(log, model, ids)
        append_part(log, other, ids[:1])
        log.merge(threading.Event())
    parts = parts_in(tmp_path / NAME)
    rows = [pq.read_metadata(part.path).num_rows for part in parts if part.version == 1]
    assert [count for count in rows if count > 100] == [250]
    assert len(rows) < 15
    assert parts == without_covered(parts)
    read = read_predictions(tmp_path, NAME)
    first = read.filter(pa.compute.equal(read["model_version"], 1)).column("prediction_id").to_pylist()
    assert first == [id_ for ids in given for id_ in ids]
    assert read.num_rows == len(first) + sum(bool(ids) for ids in given)


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1, 95, 95, 1, 30, 30, 60, 1], [1] * 40])
def test_a_merged_file_names_only_the_parts_that_it_contains(
    tmp_path: Path, model: ModelIdentity, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    """A part may stay unmerged because of its size or a full disk; merging across it would hide its rows."""
    monkeypatch.setattr(parquet_log, "FILES_PER_MERGE", 4)
    monkeypatch.setattr(parquet_log, "GRACE", 0)
    monkeypatch.setattr(parquet_log, "MAX_ROWS", 100)
    original, calls = parquet_log._merged, count()
    failing_calls = [1, 4] if max(sizes) == 1 else []
    monkeypatch.setattr(parquet_log, "_merged", lambda *args: None if next(calls) in failing_calls else original(*args))
    log = ParquetLog(tmp_path)
    given = [[f"{part}.{row}" for row in range(size)] for part, size in enumerate(sizes)]
    for ids in given:
        append_part(log, model, ids)
        log.merge(threading.Event())
    expected = sorted(id_ for ids in given for id_ in ids)
    assert sorted(recorded_ids(tmp_path)) == expected
    monkeypatch.setattr(Part, "is_orphaned", True)
    merge_orphaned(tmp_path, threading.Event())
    assert sorted(recorded_ids(tmp_path)) == expected


def test_a_kill_between_merging_and_removal_duplicates_nothing(
    tmp_path: Path, model: ModelIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_log, "FILES_PER_MERGE", 4)
    monkeypatch.setattr(parquet_log, "GRACE", 0)
    log = ParquetLog(tmp_path)
    folder = tmp_path / NAME
    given = [str(row) for row in range(9)]
    for id_ in given:
        append_part(log, model, [id_])
    small = {part.path: part.path.read_bytes() for part in parts_in(folder)}
    log.merge(threading.Event())
    merged = [part.path for part in parts_in(folder)]
    for path in list(small)[1:7]:  # the kill came when some parts of each merged file were removed
        path.write_bytes(small[path])
    log = ParquetLog(tmp_path)
    append_part(log, model, ["other session"])
    parts = parts_in(folder)
    assert len(parts) == len(merged) + 6 + 1
    assert sorted(recorded_ids(tmp_path)) == sorted([*given, "other session"])

    merge_orphaned(tmp_path, threading.Event())  # their process is alive
    assert parts_in(folder) == parts
    for part in parts:
        part.path.rename(part.path.with_name(part.path.name.replace(f"~{os.getpid()}~", f"~{NO_PROCESS}~")))
    unfinished = folder / f".x.{parts[0].session.rpartition('~')[0].replace(f'~{os.getpid()}~', f'~{NO_PROCESS}~')}.tmp"
    unfinished.write_bytes(b"PAR1")
    merge_orphaned(tmp_path, threading.Event())
    assert len(parts_in(folder)) == 2
    assert not unfinished.exists()
    assert sorted(recorded_ids(tmp_path)) == sorted([*given, "other session"])


def test_reading_during_writes_and_merges_returns_each_row_once(
    tmp_path: Path, model: ModelIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_log, "FILES_PER_MERGE", 2)
    monkeypatch.setattr(parquet_log, "GRACE", 0.1)
    folder = tmp_path / NAME
    append_part(ParquetLog(tmp_path), model_identity({"x": [1.0, 2.0]}, version=0), ["other"])
    (other,) = parts_in(folder)
    for number in range(1, 200):  # these are read first, while other listed parts are merged and removed
        shutil.copy(other.path, replace(other, first=number, last=number).path)
    log = ParquetLog(tmp_path)
    append_part(log, model, ["0"])
    written = 0
    stopping = threading.Event()

    def write() -> None:
        nonlocal written
        while not stopping.is_set():
            append_part(log, model, [str(written + 1)])
            written += 1

    def merge() -> None:
        while not stopping.is_set():
            log.merge(stopping)

    threads = [threading.Thread(target=write), threading.Thread(target=merge)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            written_before = written
            read = recorded_ids(tmp_path)
            assert read[:200] == ["other"] * 200
            numbers = sorted(map(int, read[200:]))
            assert numbers[: written_before + 1] == list(range(written_before + 1))  # later ones may be missing
            assert len(numbers) == len(set(numbers))
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert any(part.first < part.last for part in parts_in(folder))


def test_merged_parts_stay_for_the_grace_period(
    tmp_path: Path, model: ModelIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_log, "FILES_PER_MERGE", 3)
    log = ParquetLog(tmp_path)
    for number in range(3):
        append_part(log, model, [str(number)])
    small = parts_in(tmp_path / NAME)
    merging = threading.Thread(target=log.merge, args=(threading.Event(),))
    merging.start()
    wait_until(lambda: len(parts_in(tmp_path / NAME)) == 4)
    assert without_covered(parts_in(tmp_path / NAME)) == [small[0].merged_with(small[2])]
    merging.join()
    assert parts_in(tmp_path / NAME) == [small[0].merged_with(small[2])]


@pytest.mark.parametrize("failure", ["replaced by a file", "disk full", "removed"])
def test_a_temporary_folder_failure_loses_only_rows_beyond_the_limit(
    failure: str,
    tmp_path: Path,
    model: ModelIdentity,
    start_recorder: Callable[..., Recorder],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(recorder, "PERIOD", 0.02)
    monkeypatch.setattr(recorder, "RETRY", 0.1)
    seen: list[str] = []
    recording = start_recorder(100, lambda records: seen.extend(id_ for record in records for id_ in record.ids))
    recording.put(predicted_request(model, ["first"]))
    wait_until(lambda: recording.state()["written_rows"] == 1)
    folder = tmp_path / NAME
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = tmp_path / "kept"
    folder.rename(kept)
    if failure == "replaced by a file":
        folder.write_text("in the way")
    elif failure == "disk full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        given = [str(row) for row in range(70)]
        for id_ in given:
            assert recording.put(predicted_request(model, [id_]))
        wait_until(lambda: len(seen) == 71)
        if failure != "removed":
            wait_until(lambda: recording.state()["last_error"] is not None)
            recording.put(predicted_request(model, [f"more {row}" for row in range(50)]))
            wait_until(lambda: len(seen) == 121)
            given += [f"more {row}" for row in range(30)]
            wait_until(lambda: recording.state()["dropped_rows"] == 20)
            assert recording.state()["queued_rows"] == 100
            assert not list(folder.parent.rglob("*.tmp"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    if failure == "replaced by a file":
        folder.unlink()
    wait_until(lambda: recording.state()["queued_rows"] == 0)
    recording.put(predicted_request(model, ["last"]))
    recording.stop(10)
    assert recording.state()["last_error"] is None
    assert recording.state()["written_rows"] == len(given) + 2
    assert recorded_ids(tmp_path) == [*given, "last"]
    levels = [record.levelno for record in caplog.records]
    assert levels == ([] if failure == "removed" else [logging.WARNING] * 2)


def test_stop_respects_its_timeout_and_logs_the_number_of_lost_rows(
    tmp_path: Path, model: ModelIdentity, start_recorder: Callable[..., Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / NAME).write_text("in the way")
    recording = start_recorder()
    recording.put(predicted_request(model, ["a", "b"]))
    before = time.monotonic()
    recording.stop(1.2)
    assert time.monotonic() - before < 10
    assert recording.state()["queued_rows"] == 2
    assert "2 predictions are lost" in caplog.text


def test_missing_and_damaged_files_are_reported(tmp_path: Path, model: ModelIdentity) -> None:
    with pytest.raises(PipelineError, match="holds no recorded predictions"):
        read_predictions(tmp_path, NAME)
    append_part(ParquetLog(tmp_path), model, ["a"])
    (part,) = parts_in(tmp_path / NAME)
    (tmp_path / NAME / "notes.parquet").write_text("not a part")
    assert recorded_ids(tmp_path) == ["a"]
    part.path.write_bytes(part.path.read_bytes()[:-20])
    with pytest.raises(PipelineError, match=part.path.name):
        read_predictions(tmp_path, NAME)
