"""Quick looks without MLflow installed, and the MLflow page."""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from support.quick_look import IRIS, printed_numbers
from support.repositories import ROOT

HIDDEN = ("mlflow", "dvc", "optuna", "sqlalchemy", "filelock")


def test_quick_look_needs_neither_mlflow_nor_dvc(tmp_path: Path) -> None:
    packages = Path(sysconfig.get_path("purelib"))
    for entry in packages.iterdir():
        if not entry.name.startswith(HIDDEN):
            (tmp_path / entry.name).symlink_to(entry)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "HOME": os.environ.get("HOME", "/")}
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([base, *command], env=environment, cwd=tmp_path, capture_output=True, text=True)

    assert "No module named 'mlflow'" in run("-c", "import mlflow").stderr
    command = (str(ROOT / "src/train.py"), str(IRIS), "--target", "species")
    plain, warned = run(*command), run(*command, "--use-mlflow")
    assert (plain.returncode, plain.stderr) == (0, "")
    assert printed_numbers(plain.stdout)["accuracy"] > 0.85
    assert warned.returncode == 0
    assert warned.stderr.startswith("warning: MLflow is not installed, so nothing is recorded")
    assert printed_numbers(warned.stdout)["accuracy"] == printed_numbers(plain.stdout)["accuracy"]


def test_mlflow_page_opens_or_reports_why_not(
    empty_store: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 5000))
        except OSError:
            pytest.skip("port 5000 is in use on this machine")
        taken.listen()
        assert call("run_mlflow", "--ui") == 2
        assert "port 5000 is in use, perhaps" in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # saves eight processes
    command = [sys.executable, str(ROOT / "src/run_mlflow.py"), "--ui"]
    page = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        deadline, response = time.monotonic() + 180, None
        while response is None and time.monotonic() < deadline and page.poll() is None:
            try:
                response = requests.get("http://127.0.0.1:5000", timeout=2)
            except requests.RequestException:
                time.sleep(0.3)
        assert response is not None
        assert response.ok
        assert "MLflow" in response.text
    finally:
        os.killpg(page.pid, signal.SIGTERM)
        page.communicate(timeout=30)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert call("run_mlflow", "--ui") == 2
    assert "open that address in a browser" in capsys.readouterr().err
