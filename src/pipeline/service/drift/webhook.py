"""Telling another service of an alarm: an HTTP POST that nothing waits for."""

import logging
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from requests import RequestException, Session

logger = logging.getLogger(__name__)
TRIES = 3
TIMEOUT = 5.0  # seconds that a try may take to connect, and to be answered
WAIT = 3.0  # seconds; the second try follows at once, the third after twice as long


class Webhook:
    """An address that is told of alarms.

    Parameters
    ----------
    url : str
        http or https. It may hold a secret, so messages name its host only.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._host = urlsplit(url).hostname or ""
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # each of its warnings of a failed try holds the URL

    def send(self, content: dict[str, Any]) -> None:
        """Post JSON in a thread of its own, which gives up after a few tries; what comes of it is logged."""
        threading.Thread(target=self._send, args=(content,), name="webhook", daemon=True).start()

    def _send(self, content: dict[str, Any]) -> None:
        from requests import RequestException

        try:
            with (
                _session() as session,
                session.post(self._url, json=content, timeout=TIMEOUT, allow_redirects=False, stream=True) as response,
            ):
                problem = "" if response.status_code < 300 else f"it answered {response.status_code}"
        except RequestException as error:
            problem = _reason(error)
        except Exception as error:  # a network or a server can be wrong in any way; texts may hold the address
            problem = type(error).__name__
        if problem:
            logger.warning("webhook: %s was not reached in %d tries: %s", self._host, TRIES, problem)
        else:
            logger.info("webhook: %s answered %d", self._host, response.status_code)


def _session() -> "Session":
    """Return a session that tries again whatever fails, redirections too: what is posted would be lost on the way."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        TRIES - 1,
        allowed_methods=None,
        status_forcelist=range(300, 600),
        raise_on_status=False,
        backoff_factor=WAIT,
        respect_retry_after_header=False,  # what is no time there would end the tries
    )
    session = requests.Session()
    session.auth = lambda request: request  # none: requests would send what ~/.netrc has for the host
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _reason(error: "RequestException") -> str:
    """Return why the last try failed, without the address."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return str(reason)[:300] if reason else type(error).__name__
