"""Run the service: print the settings, serve the application, write everything out on shutdown."""

import errno
import logging
import os
import signal
import socket
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.params.load import load_params
from pipeline.params.schema import MonitorParams
from pipeline.service.settings import Settings, load_settings, unknown_settings
from pipeline.support.progress import progress

KEEP_ALIVE_SECONDS = 75
SHUTDOWN_SECONDS = 10  # for requests in progress to finish


def serve(folder: Path) -> None:
    """Serve the model of a pipeline folder until SIGTERM, SIGINT or SIGHUP.

    Raises
    ------
    PipelineError
        If params.yaml or a setting is invalid, or the port is in use.
    """
    params = load_params(folder / "params.yaml") if (folder / "params.yaml").exists() else None
    settings = load_settings(params.registry.model_name if params else None)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True)
    for name in ("mlflow", "alembic", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # urllib3 logs a warning for every retry
    values = settings.as_strings()
    width = max(map(len, values))
    for name, value in values.items():
        progress(f"{name:{width}}  {value}".rstrip())
    for name in unknown_settings():
        logging.warning("unknown setting, ignored: %s", name)
    listener = _listen(settings)
    import uvicorn

    from pipeline.service.service import Service
    from pipeline.service.web.app import create_app
    from pipeline.service.web.connections import protocol_class, raise_file_limit

    # Give up on a hanging registry after 20 seconds; MLflow's defaults take a quarter of an hour.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    raise_file_limit()
    service = Service(settings, params.monitor if params else MonitorParams(), folder)
    config = uvicorn.Config(
        create_app(service),
        http=protocol_class(settings.service_read_timeout_seconds),
        loop="uvloop",
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)
    signal.signal(signal.SIGHUP, server.handle_exit)  # uvicorn handles SIGTERM and SIGINT itself
    server.run([listener])


def _listen(settings: Settings) -> socket.socket:
    """Bind the port before the slow imports; connections wait until the service accepts them."""
    try:
        family = socket.AF_INET6 if ":" in settings.service_host else socket.AF_INET
        listener = socket.create_server((settings.service_host, settings.service_port), family=family, backlog=2048)
    except OSError as error:
        try_other_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        raise PipelineError(
            f"cannot listen on {settings.service_host}, port {settings.service_port}: "
            f"{os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror}",
            "stop the process that uses the port, or choose another port: SERVICE_PORT=8081 python src/serve.py"
            if try_other_port
            else "set an address of this machine: SERVICE_HOST=127.0.0.1, or SERVICE_HOST=0.0.0.0 for all of them",
        ) from None
    host = f"[{settings.service_host}]" if family == socket.AF_INET6 else settings.service_host
    progress(f"serving at http://{host}:{listener.getsockname()[1]}")
    return listener
