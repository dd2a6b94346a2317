"""MLflow's page on the project's store."""

import os
import socket
import sys

from pipeline.errors import PipelineError
from pipeline.store.open import open_store, store_uri
from pipeline.support.progress import progress

PORT = 5000


def open_ui() -> None:
    """Serve MLflow's page on the store until stopped; this process becomes the server.

    Raises
    ------
    PipelineError
        When the store is a server itself, whose page is at its address, or the port is taken.
    """
    uri = store_uri()
    if uri.startswith(("http://", "https://")):
        raise PipelineError(f"the store is the server {uri}", "open that address in a browser")
    open_store()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            raise PipelineError(
                f"port {PORT} is taken, perhaps by a page that is open already: http://127.0.0.1:{PORT}",
                f"open that, or choose a port: mlflow ui --backend-store-uri {uri} --port {PORT + 1}",
            ) from None
    progress(f"MLflow's page of {uri}: http://127.0.0.1:{PORT} (Ctrl-C ends it)")
    os.execv(  # noqa: S606 (no shell is wanted)
        sys.executable, [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--port", str(PORT)]
    )
