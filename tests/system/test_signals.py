"""A stopped script exits with 128 plus the signal number, even if the exception of the stop gets lost."""

import os
import signal
import subprocess
import sys

import pytest

from support.repositories import ROOT

# Code that sends the signal and loses its exception in different ways.
LOST = {
    "nothing": "os.kill(os.getpid(), number)",
    "__set_name__": """
class Field:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), number)
class Table:  # Python 3.11 wraps an exception from __set_name__ in a RuntimeError
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
    raise ValueError("as in a library") from None
""",
    "called by C": """
class Finalized:
    def __del__(self):
        os.kill(os.getpid(), number)
Finalized()
""",
}


def run(code: str) -> tuple[int, str, str]:
    """Run Python code and return its exit code, standard output and standard error."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("lost", LOST)
def test_stopped_script_exits_with_the_signal_number(lost: str, number: int) -> None:
    code = f"""
import os, time
from pipeline import cli
from pipeline.cli import run_script
cli.GRACE = 0.2
def main():
    number = {int(number)}
    namespace = {{"os": os, "number": number}}
    try:
        exec({LOST[lost]!r}, namespace)
        time.sleep(30)
    finally:
        time.sleep(0.5)  # longer than GRACE: during cleanup the stop is not raised again
        print("cleaned up")
run_script(main)
"""
    assert run(code) == (128 + number, "cleaned up\n", "stopped\n")


def test_cleanup_after_a_caught_stop_has_time() -> None:
    code = """
import os, signal, time
from pipeline.cli import run_script
def main():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException as error:
        stop = error
    time.sleep(0.3)
    print("cleaned up")
    raise stop
run_script(main)
"""
    assert run(code) == (128 + signal.SIGTERM, "cleaned up\n", "stopped\n")


def test_signal_after_the_end_terminates_by_default() -> None:
    code = """
import atexit, os, signal
from pipeline.cli import run_script
def late():
    os.kill(os.getpid(), signal.SIGTERM)
run_script(lambda: atexit.register(late))
"""
    assert run(code) == (-signal.SIGTERM, "", "")
