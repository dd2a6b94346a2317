"""Notify another service of drift alarms by an HTTP POST request in the background."""

import logging
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from requests import RequestException, Session

logger = logging.getLogger(__name__)
ATTEMPTS = 3
TIMEOUT = 5.0  # seconds for connecting, and again for the response, in each attempt
WAIT = 3.0  # seconds, as backoff factor: the second attempt follows at once, the third after twice this time


class Webhook:
    """A URL that receives a POST request when alarms begin or end.

    Parameters
    ----------
    url : str
        An http or https URL. It may contain a secret, so log lines show the host only.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._host = urlsplit(url).hostname or ""
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings of failed attempts contain the URL

    def send(self, content: dict[str, Any]) -> None:
        """Send `content` as JSON in a separate thread, which retries a few times and logs the outcome."""
        threading.Thread(target=self._send, args=(content,), name="webhook", daemon=True).start()

    def _send(self, content: dict[str, Any]) -> None:
        from requests import RequestException

        try:
            with (
                _session() as session,
                session.post(self._url, json=content, timeout=TIMEOUT, allow_redirects=False, stream=True) as response,
            ):
                problem = "" if response.status_code < 300 else f"it responded with status {response.status_code}"
        except RequestException as error:
            problem = _reason(error)
        except Exception as error:  # messages of other errors may contain the URL
            problem = type(error).__name__
        if problem:
            logger.warning("webhook: %s failed after %d attempts: %s", self._host, ATTEMPTS, problem)
        else:
            logger.info("webhook: %s responded with status %d", self._host, response.status_code)


def _session() -> "Session":
    """Return a session that retries after any failure, and after a redirect, which would lose the request body."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        ATTEMPTS - 1,
        allowed_methods=None,
        status_forcelist=range(300, 600),
        raise_on_status=False,
        backoff_factor=WAIT,
        respect_retry_after_header=False,  # an invalid value would end the attempts
    )
    session = requests.Session()
    session.auth = lambda request: request  # otherwise requests would send the password of the host in ~/.netrc
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _reason(error: "RequestException") -> str:
    """Return why the last attempt failed, without the URL."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return str(reason)[:300] if reason else type(error).__name__
