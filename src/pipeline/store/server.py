"""Check quickly whether a tracking server is reachable."""

import os

from pipeline.errors import StoreError

DEFAULT_TIMEOUT = 20  # seconds


def is_server(uri: str) -> bool:
    """Return whether a tracking URI is the address of a server."""
    return uri.startswith(("http://", "https://"))


def check_reachable(uri: str, display_uri: str) -> None:
    """Send one request to a server and accept any response.

    MLflow itself retries eight times before it reports an unreachable server, silently and for minutes.

    Parameters
    ----------
    uri : str
        The server's tracking URI.
    display_uri : str
        The URI with passwords masked, for messages.

    Raises
    ------
    StoreError
        If there is no response within MLFLOW_HTTP_REQUEST_TIMEOUT seconds, 20 by default.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    setting = os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "")
    seconds = int(setting) if setting.isdecimal() else DEFAULT_TIMEOUT
    try:
        host = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
        http_request(  # type: ignore[no-untyped-call]
            host, "/health", "GET", max_retries=0, timeout=seconds, raise_on_status=False
        )
    except MlflowException as error:
        reason = "connection refused" if "refused" in str(error) else f"no response within {seconds} seconds"
        raise StoreError(
            f"the MLflow store {display_uri} cannot be used: the server is not reachable ({reason})",
            "check MLFLOW_TRACKING_URI, the network and that the server is running; for a slow server, set "
            "MLFLOW_HTTP_REQUEST_TIMEOUT=SECONDS",
        ) from None
