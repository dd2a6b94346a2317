"""Recording processes are killed: what was recorded more than a second before is there."""

import random
import signal
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.service.recording import recorder
from pipeline.service.recording.parquet_log import merge_left
from pipeline.service.recording.parts import parts_in
from pipeline.service.recording.read import read_predictions
from support.recording import NAME, ids_in, wait_until
from support.zygote import Forked, Zygote


def test_kill_loses_at_most_the_last_second(tmp_path: Path, zygote: Zygote) -> None:
    def record(name: str, period: float) -> Forked:
        script = zygote.start(tmp_path, "support.recording_process", name, str(period), "2")
        said = tmp_path / name
        wait_until(lambda: said.exists() and said.read_bytes().count(b"\n") > 1)
        return script

    rng = random.Random()
    folder = tmp_path / "recorded"
    due: set[str] = set()
    put: set[str] = set()
    for turn in range(4):
        # Two at once in one folder: one as the service runs, one that writes and merges most of the time.
        names = [f"{turn}slow", f"{turn}quick"]
        scripts = [record(names[0], recorder.PERIOD), record(names[1], 0.001)]
        time.sleep(0.6)
        for name, script in zip(names, scripts, strict=True):
            time.sleep(rng.uniform(0, 1))
            killed = time.time()
            script.kill()
            assert zygote.wait(script) == (-signal.SIGKILL, "")
            said = [line.split() for line in (tmp_path / name).read_text().splitlines()]
            due |= {f"{name} {number}" for number, at in said if float(at) < killed - 1}
            put |= {f"{name} {number}" for number in range(len(said) + 1)}  # the last may be put, and not said
        for path in (folder / NAME).glob("*.parquet"):
            pq.read_table(path)
        read = ids_in(folder)
        assert len(read) == len(set(read))
        assert due <= set(read) <= put
    assert len(due) > 100
    before = read_predictions(folder, NAME)
    assert len(parts_in(folder / NAME)) > 8
    merge_left(folder, threading.Event())
    assert len(parts_in(folder / NAME)) == 8
    assert not list((folder / NAME).glob(".*.tmp"))
    assert read_predictions(folder, NAME).equals(before)
