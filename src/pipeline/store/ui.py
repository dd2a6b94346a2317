"""Start the MLflow UI on the project's store."""

import os
import socket
import sys

from pipeline.errors import PipelineError
from pipeline.store.open import mask_passwords, open_store, store_uri
from pipeline.support.progress import progress

PORT = 5000


def open_ui() -> None:
    """Serve the MLflow UI until stopped; the server replaces this process.

    Raises
    ------
    PipelineError
        If the store is a server, which has its own UI, or the port is in use.
    """
    uri = store_uri()
    named = mask_passwords(uri)
    if uri.startswith(("http://", "https://")):
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
