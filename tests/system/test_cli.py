"""Scripts as processes: signals that stop them, and the imports of their help."""

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.folders import SMALL
from support.repositories import ROOT, change_params
from support.zygote import Zygote


def test_signal_ends_the_run_as_failed(pipeline_folder: Path, zygote: Zygote) -> None:
    space = {"xgboost": {"gamma": {"low": 0.0, "high": 1.0}}}
    long_search = {**SMALL, "search": {"n_candidates": 9999, "max_rounds": 5, "space": space}}
    change_params(pipeline_folder, train={"experiment_name": "small", **long_search})
    zygote.run(pipeline_folder, "prepare")
    rng = random.Random(0)
    database = sqlite3.connect("file:mlruns/mlflow.db?mode=ro", uri=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        before = database.execute("select count(*) from runs").fetchone()[0]
        training = zygote.start(pipeline_folder, "model_train")
        deadline = time.monotonic() + 120
        while database.execute("select count(*) from runs").fetchone()[0] < before + 5:
            assert training.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(rng.random() / 5)
        training.send_signal(number)
        code, printed = zygote.wait(training)
        assert (code, printed.splitlines()[-1]) == (128 + number, "stopped")
        assert not re.search("Traceback|Warning|Error", printed)
    status = database.execute(
        "select status, value from runs join tags using (run_uuid) where name = 'exp1_tuned' and key = 'error'"
    ).fetchall()
    database.close()
    assert status == [("FAILED", "stopped by a signal")] * 3
    assert not Path("mlartifacts/training/best_model_info.json").exists()


def test_help_does_not_import_heavy_packages() -> None:
    for script in sorted((ROOT / "src").glob("*.py")):
        code = f"import sys, runpy; sys.argv = ['x', '--help']; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
        code += f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        code += "except SystemExit as exit_: assert not exit_.code\n"
        code += "assert not {'numpy', 'pandas', 'mlflow', 'xgboost', 'pydantic'} & set(sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "usage:" in done.stdout


FINALIZER = """
class Finalized:
    def __del__(self):
        stop()
def main():
    Finalized()
    time.sleep(200)
"""
WEAK_REFERENCE = """
import weakref
class Referenced:
    pass
def main():
    referenced = Referenced()
    reference = weakref.ref(referenced, lambda _: stop())
    del referenced
    time.sleep(200)
"""
XGBOOST_CALLBACK = """
import numpy, xgboost
from xgboost.data import SingleBatchInternalIter
read = SingleBatchInternalIter.next
def read_and_stop(self, take):
    stop()
    return read(self, take)
SingleBatchInternalIter.next = read_and_stop
def main():
    xgboost.QuantileDMatrix(numpy.eye(9), label=numpy.ones(9))
    time.sleep(200)
"""


@pytest.mark.parametrize(
    "code", [FINALIZER, WEAK_REFERENCE, XGBOOST_CALLBACK], ids=["finalizer", "weak reference", "xgboost"]
)
def test_signal_in_a_c_callback_is_not_lost(tmp_path: Path, code: str) -> None:
    (tmp_path / "script.py").write_text(
        "import os, signal, time\n"
        "from pipeline.cli import run_script\n"
        "def stop():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(0.01)\n"
        f"{code}"
        "run_script(main)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "stopped\n")
