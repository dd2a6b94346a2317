"""Recording processes that are killed: predictions older than a second are on disk."""

import random
import signal
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.service.recording import recorder
from pipeline.service.recording.parquet_log import merge_orphaned
from pipeline.service.recording.parts import parts_in
from pipeline.service.recording.read import read_predictions
from support.recording import NAME, recorded_ids, wait_until
from support.zygote import Forked, Zygote


def test_kill_loses_at_most_the_last_second(tmp_path: Path, zygote: Zygote) -> None:
    def record(name: str, period: float) -> Forked:
        script = zygote.start(tmp_path, "support.recording_process", name, str(period), "2")
        log = tmp_path / name
        wait_until(lambda: log.exists() and log.read_bytes().count(b"\n") > 1)
        return script

    rng = random.Random()
    folder = tmp_path / "recorded"
    required: set[str] = set()
    queued: set[str] = set()
    for turn in range(4):
        # Two processes share one folder: one runs as the service does, one writes and merges most of the time.
        names = [f"{turn}slow", f"{turn}quick"]
        scripts = [record(names[0], recorder.PERIOD), record(names[1], 0.001)]
        time.sleep(0.6)
        for name, script in zip(names, scripts, strict=True):
            time.sleep(rng.uniform(0, 1))
            killed_at = time.time()
            script.kill()
            assert zygote.wait(script) == (-signal.SIGKILL, "")
            logged = [line.split() for line in (tmp_path / name).read_text().splitlines()]
            required |= {f"{name} {number}" for number, at in logged if float(at) < killed_at - 1}
            queued |= {f"{name} {number}" for number in range(len(logged) + 1)}  # the last may be queued but not logged
        for path in (folder / NAME).glob("*.parquet"):
            pq.read_table(path)
        recorded = recorded_ids(folder)
        assert len(recorded) == len(set(recorded))
        assert required <= set(recorded) <= queued
    assert len(required) > 100
    before = read_predictions(folder, NAME)
    assert len(parts_in(folder / NAME)) > 8
    merge_orphaned(folder, threading.Event())
    assert len(parts_in(folder / NAME)) == 8
    assert not list((folder / NAME).glob(".*.tmp"))
    assert read_predictions(folder, NAME).equals(before)
