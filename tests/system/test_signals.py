"""A script that is told to stop ends with 128 and the signal's number, whatever becomes of the exception on its way."""

import os
import signal
import subprocess
import sys

import pytest

from support.repositories import ROOT

LOST = {
    "nothing": "os.kill(os.getpid(), number)",
    "__set_name__": """
class Field:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), number)
class Table:  # Python 3.11 turns what is raised in __set_name__ into a RuntimeError
    field = Field()
""",
    "caught": """
try:
    os.kill(os.getpid(), number)
except BaseException:
    pass
""",
    "wrapped": """
try:
    os.kill(os.getpid(), number)
except BaseException as error:
    raise ValueError("as a library might") from None
""",
    "called by C": """
class Finalized:
    def __del__(self):
        os.kill(os.getpid(), number)
Finalized()
""",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("lost", LOST)
def test_a_stopped_script_ends_with_the_signals_number(lost: str, number: int) -> None:
    code = f"""
import os, time
from pipeline.cli import run_script
def main():
    number = {int(number)}
    namespace = {{"os": os, "number": number}}
    try:
        exec({LOST[lost]!r}, namespace)
        time.sleep(30)
    finally:
        time.sleep(0.3)  # longer than the signal is waited for: it is not raised again
        print("cleaned up")
run_script(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "cleaned up\n", "stopped\n")
