"""A process that records predictions until it is killed, and logs what it has queued and when."""

import os
import sys
import time
from itertools import count
from pathlib import Path

from pipeline.service.recording import parquet_log, recorder
from pipeline.service.recording.recorder import Recorder
from support.recording import model_identity, predicted_request


def main() -> None:
    """Record below the current folder; the file `name` gets a line for each prediction."""
    name, period, n_merged = sys.argv[1:]
    recorder.PERIOD, parquet_log.FILES_PER_MERGE = float(period), int(n_merged)
    log = os.open(name, os.O_CREAT | os.O_WRONLY)
    model = model_identity({"x": [1.0, 2.0]})
    recording = Recorder(Path("recorded"), 10_000)
    recording.start()
    for number in count():
        at = time.time()
        assert recording.put(predicted_request(model, [f"{name} {number}"], time=at))
        os.write(log, b"%d %f\n" % (number, at))
        time.sleep(0.002)
