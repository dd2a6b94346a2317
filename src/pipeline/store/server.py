"""Whether a tracking server answers, asked before MLflow asks."""

import os

from pipeline.errors import StoreError

LONGEST_SILENCE = 20  # seconds


def is_server(uri: str) -> bool:
    """Return whether a tracking URI is the address of a server."""
    return uri.startswith(("http://", "https://"))


def check_answers(uri: str, shown: str) -> None:
    """Ask a server once, whatever it says: MLflow asks one that is down eight times, silently, for minutes.

    Parameters
    ----------
    uri : str
        Of the server.
    shown : str
        The same without a password, for messages.

    Raises
    ------
    StoreError
        When nothing answers within 20 seconds, or MLFLOW_HTTP_REQUEST_TIMEOUT where that is set.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    asked = os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "")
    seconds = int(asked) if asked.isdecimal() else LONGEST_SILENCE
    try:
        host = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
        http_request(  # type: ignore[no-untyped-call]
            host, "/health", "GET", max_retries=0, timeout=seconds, raise_on_status=False
        )
    except MlflowException as error:
        how = "the connection is refused" if "refused" in str(error) else f"within {seconds} seconds"
        raise StoreError(
            f"the MLflow store {shown} cannot be used: no server answers there ({how})",
            "check MLFLOW_TRACKING_URI, the network and that the server runs; a slow one gets more time by "
            "MLFLOW_HTTP_REQUEST_TIMEOUT=SECONDS",
        ) from None
