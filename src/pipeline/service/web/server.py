"""The process: settings shown, the application served, everything written when it is told to stop."""

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
LAST_SECONDS = 10  # that requests under way may take when the service is told to stop


def serve(folder: Path) -> None:
    """Serve the model of a pipeline folder until SIGTERM, SIGINT or SIGHUP.

    Raises
    ------
    PipelineError
        When params.yaml or a setting cannot be used, or the port is taken.
    """
    params = load_params(folder / "params.yaml") if (folder / "params.yaml").exists() else None
    settings = load_settings(params.registry.model_name if params else None)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True)
    for name in ("mlflow", "alembic", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # each retry is a warning of its own
    shown = settings.shown()
    width = max(map(len, shown))
    for name, value in shown.items():
        progress(f"{name:{width}}  {value}".rstrip())
    for name in unknown_settings():
        logging.warning("%s is no setting of the service, and counts for nothing", name)
    listener = _listen(settings)
    import uvicorn

    from pipeline.service.service import Service
    from pipeline.service.web.app import create_app
    from pipeline.service.web.connections import protocol, raise_file_limit

    # A registry that hangs is given up after two such times; MLflow's own patience is a quarter of an hour.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    # XGBoost's threads spin while they wait for each other, but not on, or they would take the cores from requests.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    raise_file_limit()
    service = Service(settings, params.monitor if params else MonitorParams(), folder)
    config = uvicorn.Config(
        create_app(service),
        http=protocol(settings.service_read_timeout_seconds),
        loop="uvloop",
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=LAST_SECONDS,
    )
    server = uvicorn.Server(config)
    signal.signal(signal.SIGHUP, server.handle_exit)  # as SIGTERM and SIGINT, which it handles itself
    server.run([listener])


def _listen(settings: Settings) -> socket.socket:
    """Take the port now, before seconds are spent on imports; connections wait until the service accepts them."""
    try:
        family = socket.AF_INET6 if ":" in settings.service_host else socket.AF_INET
        listener = socket.create_server((settings.service_host, settings.service_port), family=family, backlog=2048)
    except OSError as error:
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        raise PipelineError(
            f"the address {settings.service_host}, port {settings.service_port}, cannot be listened at: "
            f"{os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror}",
            "stop who listens there, or name another: SERVICE_PORT=8081 python src/serve.py"
            if taken
            else "name an address of this machine: SERVICE_HOST=127.0.0.1, or SERVICE_HOST=0.0.0.0 for all it has",
        ) from None
    host = f"[{settings.service_host}]" if family == socket.AF_INET6 else settings.service_host
    progress(f"serving at http://{host}:{listener.getsockname()[1]}")
    return listener
