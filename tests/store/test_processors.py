"""Tests of the number of processors, and of how OpenMP's threads wait."""

import os
import subprocess
import sys

import pytest

from support.repositories import ROOT

WAITING = "import os, pipeline; print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
PROCESSORS = (
    "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
    "from pipeline.support.processes import available_processors; print(available_processors())"
)


def run_python(code: str, **environment: str) -> str:
    """Run Python in an environment without OpenMP's variables and return its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    variables = clean | {"PYTHONPATH": str(ROOT / "src")} | environment
    return subprocess.check_output([sys.executable, "-c", code], env=variables, text=True).strip()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "None 1000"),
        ({"OMP_WAIT_POLICY": "passive"}, "passive None"),
        ({"GOMP_SPINCOUNT": "7"}, "None 7"),
    ],
)
def test_threads_spin_briefly_unless_the_user_has_said_how_they_wait(
    environment: dict[str, str], expected: str
) -> None:
    assert run_python(WAITING, **environment) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_only_processors_that_the_process_may_use_count() -> None:
    assert run_python(PROCESSORS) == "1"
