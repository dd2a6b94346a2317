"""Telling another service of an alarm: an HTTP POST that nothing waits for."""

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)
TRIES = 3
TIMEOUT = 5.0  # seconds that a try may take to connect, and to answer
WAIT = 2.0  # seconds before the second try; before each further one twice as many


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirection for a failure: what is posted would be lost on the way."""

    def redirect_request(self, *_: Any) -> None:
        return None


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

    def send(self, content: dict[str, Any]) -> None:
        """Post JSON in a thread of its own, which gives up after a few tries; what comes of it is logged."""
        threading.Thread(target=self._send, args=(content,), name="webhook", daemon=True).start()

    def _send(self, content: dict[str, Any]) -> None:
        body, problem = json.dumps(content, ensure_ascii=False).encode(), ""
        for number in range(TRIES):
            if number:
                time.sleep(WAIT * 2 ** (number - 1))
            request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"}, method="POST")  # noqa: S310 (the settings check its scheme)
            try:
                with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT) as response:
                    logger.info("webhook: %s answered %d", self._host, response.status)
                    return
            except urllib.error.HTTPError as error:
                problem = f"it answered {error.code}"
            except urllib.error.URLError as error:
                problem = str(error.reason)[:300]
            except Exception as error:  # a network or a server can be wrong in any way; texts may hold the address
                problem = type(error).__name__
        logger.warning("webhook: %s was not reached in %d tries: %s", self._host, TRIES, problem)
