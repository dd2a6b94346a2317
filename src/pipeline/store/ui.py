"""Start the MLflow UI on the project's store, or name the command or address that shows an experiment."""

import os
import shlex
import socket
import sys
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.store.open import default_uri, mask_passwords, mlflow_command, open_store, store_uri
from pipeline.store.server import is_server
from pipeline.support.paths import PROJECT, main_checkout_path
from pipeline.support.progress import progress

PORT = 5000


def how_to_view(experiment_name: str) -> str:
    """Return the address of an experiment on a server or, for another store, the command that opens the MLflow UI.

    ``mlflow ui`` alone would show an empty store in the current folder.
    """
    uri = store_uri()
    if is_server(uri):
        experiment = open_store().get_experiment_by_name(experiment_name)
        return f"{mask_passwords(uri).rstrip('/')}/#/experiments/{experiment.experiment_id if experiment else ''}"
    script = os.path.relpath(main_checkout_path(PROJECT) / "src" / "run_mlflow.py", main_checkout_path(Path()))
    command = f"python {shlex.quote(script)} --ui"
    return command if uri == default_uri() else mlflow_command(command)


def open_ui() -> None:
    """Serve the MLflow UI until stopped; the server replaces this process.

    Raises
    ------
    PipelineError
        If the store is a server, which has its own UI, or the port is in use.
    """
    uri = store_uri()
    named = mask_passwords(uri)
    if is_server(uri):
        raise PipelineError(f"the store is the server {named}, which has its own UI", "open that address in a browser")
    open_store()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            raise PipelineError(
                f"port {PORT} is in use, perhaps by an MLflow UI that is already running: http://127.0.0.1:{PORT}",
                f"open that address, or use another port: mlflow ui --backend-store-uri {named} --port {PORT + 1}",
            ) from None
    progress(f"MLflow UI for {named}: http://127.0.0.1:{PORT} (press Ctrl-C to stop)")
    os.execv(  # noqa: S606 (no shell needed)
        sys.executable, [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--port", str(PORT)]
    )
