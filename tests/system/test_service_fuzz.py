"""The running service with generated requests from its OpenAPI schema and with malformed requests."""

import json
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from pipeline.params.schema import RegisterParams
from pipeline.register.stage import Registration, register
from pipeline.service.requests.bodies import ARROW, CSV, JSON
from support.folders import Trained, enter
from support.services import RunningService, service

pytestmark = pytest.mark.xdist_group("service_fuzz")  # share a module-scoped fixture

KEY = "a-key"
NAME = "fuzzed"
READ_SECONDS = 1  # how long the service waits for a body
TIMEOUT = 8  # seconds for any response
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
schemathesis.openapi.media_type(CSV, st.sampled_from([b"", b"a,b\n1,2\n", b'"', b"\xff\n"]) | st.binary(max_size=40))
schemathesis.openapi.media_type(ARROW, st.binary(max_size=40))


@schemathesis.deserializer(ARROW)
def _as_bytes(context: schemathesis.DeserializationContext, response: schemathesis.Response) -> str:
    return response.content.hex()


@pytest.fixture(scope="module")
def running(trained_module: Trained) -> Iterator[RunningService]:
    """Serve the best model of a trained pipeline folder from its export, with an API key."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(trained_module.folder, monkeypatch)
        registration = Registration("Production", trained_module.experiments[0].run_id, force=True, reason="test")
        register(RegisterParams(model_name=NAME), trained_module.folder, registration)
        service_settings = {
            "MLFLOW_MODEL_NAME": NAME,
            "ENABLE_MODEL_REGISTRY": False,
            "ENABLE_MLFLOW_TRACKING": False,
            "SERVICE_API_KEY": KEY,
            "SERVICE_READ_TIMEOUT_SECONDS": READ_SECONDS,
            "SERVICE_MAX_BODY_BYTES": 100_000,
        }
        with service(trained_module.folder, **service_settings) as started:
            yield started
            assert valid_request_status(started) == 200
        log = started.log.read_text()
        assert "Traceback" not in log
        assert "ERROR" not in log


@pytest.fixture(scope="module")
def api(running: RunningService) -> schemathesis.BaseSchema:
    """Return the OpenAPI schema of the service."""
    return schemathesis.openapi.from_url(f"{running.address}/openapi.json")


def example_row(running: RunningService) -> bytes:
    """Return the example row of the OpenAPI schema as JSON."""
    schema = requests.get(f"{running.address}/openapi.json", timeout=TIMEOUT).json()
    return json.dumps(schema["components"]["schemas"]["Row"]["examples"][0]).encode()


def valid_request_status(running: RunningService) -> int:
    """Send a valid request and return its HTTP status."""
    headers = {"X-API-Key": KEY, "Content-Type": JSON}
    response = requests.post(f"{running.address}/predict", data=example_row(running), headers=headers, timeout=TIMEOUT)
    return response.status_code


MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]


def test_responses_conform_to_the_openapi_schema(api: schemathesis.BaseSchema, told: Callable[[str], None]) -> None:
    statuses: Counter[int] = Counter()

    def check_case(case: schemathesis.Case) -> None:
        json_checks = [positive_data_acceptance, negative_data_rejection] if case.media_type == JSON else []
        response = case.call(headers={"X-API-Key": KEY}, timeout=TIMEOUT)
        if response.status_code == 413:  # rejected for its size, which these checks do not know
            json_checks = []
        case.validate_response(response, headers={"X-API-Key": KEY}, checks=CHECKS + json_checks)
        statuses[response.status_code] += 1

    operations = [operation.ok() for operation in api.get_all_operations()]
    assert len(operations) == 7
    few_examples = settings(
        max_examples=25, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    for operation in operations:
        generated = operation.schema.config.generation_for(operation=operation)
        for case in operation.schema.iter_coverage_cases(
            operation, generation_modes=MODES, generation_config=generated
        ):
            check_case(case)
        for mode in MODES if operation.body else MODES[:1]:
            few_examples(given(operation.as_strategy(mode))(check_case))()
    told(f"generated requests by status: {dict(statuses)}")
    assert statuses.keys() >= {200, 400, 401, 405, 415, 422}


def exchange(running: RunningService, request: bytes, half_close: bool = False) -> bytes:
    """Send bytes on a new connection and return everything received until the service closes it."""
    host, port = running.address.removeprefix("http://").split(":")
    deadline, received = time.monotonic() + TIMEOUT, b""
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
        try:
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(2**16):
                received += part
                assert time.monotonic() < deadline
        except (BrokenPipeError, ConnectionResetError):
            pass  # the service may close before it has read everything
    return received


def post(*headers: bytes, body: bytes = b"", line: bytes = b"POST /predict HTTP/1.1") -> bytes:
    common = [b"Host: a", b"X-API-Key: " + KEY.encode(), b"Content-Type: application/json", b"Connection: close"]
    return b"\r\n".join([line, *common, *headers, b"", body])


CHUNKED = b"Transfer-Encoding: chunked"
# Malformed requests with the expected status; None: no response.
MALFORMED = {
    "no bytes": (b"", None),
    "not HTTP": (b"hello\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/9.9": (post(line=b"GET /health HTTP/9.9"), 400),
    "no path": (post(line=b"GET HTTP/1.1"), 400),
    "an unknown method": (post(line=b"FROB /predict HTTP/1.1"), 400),
    "a wrong method": (post(line=b"PUT /predict HTTP/1.1"), 405),
    "an unknown path": (post(line=b"GET /nowhere HTTP/1.1"), 404),
    "a path traversal": (post(line=b"GET /page/..%2f..%2fsettings.py HTTP/1.1"), 404),
    "a path with NUL": (post(line=b"GET /page/%00 HTTP/1.1"), 404),
    "a path that is not UTF-8": (post(line=b"GET /%ff%fe HTTP/1.1"), 404),
    "a header without a colon": (post(b"what is this"), 400),
    "a header with NUL": (post(b"X-Request-Key: a\0b"), 400),
    "a header that is not ASCII": (post(b"X-Request-Key: \xff\xe4", b"Content-Length: 2", body=b"{}"), 422),
    "a key that is not ASCII": (post(line=b"POST /predict HTTP/1.1\r\nX-API-Key: \xff"), 401),
    "a length that is not a number": (post(b"Content-Length: abc", body=b"{}"), 400),
    "a length in non-ASCII digits": (post(b"Content-Length: \xb2", body=b"{}"), 400),
    "a negative length": (post(b"Content-Length: -5", body=b"{}"), 400),
    "two lengths": (post(b"Content-Length: 2", b"Content-Length: 3", body=b"{}"), 400),
    "a length and chunks": (post(b"Content-Length: 2", CHUNKED, body=b"2\r\n{}\r\n0\r\n\r\n"), 400),
    "a length beyond 64 bits": (post(b"Content-Length: " + b"9" * 30, body=b"{}"), 400),
    "a length beyond the limit": (post(b"Content-Length: 100001", body=b"{}"), 413),
    "chunks beyond the limit": (post(CHUNKED, body=b"ffff\r\n%s\r\n" % bytes(65535) * 2 + b"0\r\n\r\n"), 413),
    "a body shorter than its length": (post(b"Content-Length: 50", body=b'{"a": '), 408),
    "no body": (post(b"Content-Length: 0"), 400),
    "no length": (post(), 400),
    "truncated JSON": (post(b"Content-Length: 6", body=b'{"a": '), 400),
    "chunks without end": (post(CHUNKED, body=b"2\r\n{}\r\n"), 408),
    "a malformed chunk": (post(CHUNKED, body=b"zz\r\n{}\r\n"), 400),
    "a chunk beyond 64 bits": (post(CHUNKED, body=b"f" * 40 + b"\r\n{}\r\n"), 400),
    "an unsupported transfer coding": (post(b"Transfer-Encoding: gzip", body=b"{}"), 400),
    "a compressed body": (post(b"Content-Encoding: gzip", b"Content-Length: 2", body=b"{}"), 415),
    "HTTP/1.0": (post(b"Content-Length: 2", body=b"{}", line=b"POST /predict HTTP/1.0"), 422),
    "a malformed upgrade to HTTP/2": (post(
        b"Connection: Upgrade", b"uPgrade : h2c", b"Content-Length: 2", body=b"{}"), 400),
    "an upgrade to HTTP/2 as clients send it": (post(
        b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"Content-Length: 2", body=b"{}"), 422),
    "a websocket": (post(b"Upgrade: websocket", b"Sec-WebSocket-Key: YQ==", line=b"GET /predict HTTP/1.1"), 405),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request_is_rejected_and_service_continues(running: RunningService, name: str) -> None:
    request, status = MALFORMED[name]
    response = exchange(running, request, half_close=not request)
    assert response.split(b" ")[1:2] == [str(status).encode()] * (status is not None), response[:300]
    assert valid_request_status(running) == 200


def test_clients_that_disconnect_mid_request_do_no_harm(running: RunningService) -> None:
    request = post(b"Content-Length: 2", body=b"{}")
    for length in range(0, len(request), 7):
        exchange(running, request[:length], half_close=True)
    assert valid_request_status(running) == 200


def test_pipelined_requests_are_answered_in_order(running: RunningService) -> None:
    body = example_row(running)
    length = b"Content-Length: %d" % len(body)
    keep_alive = post(length, body=body).replace(b"Connection: close\r\n", b"")
    response = exchange(
        running, keep_alive + b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" + post(b"Content-Length: 2", body=b"{}")
    )
    assert re.findall(rb"HTTP/1.1 (\d+)", response) == [b"200", b"200", b"422"]


def test_endless_headers_do_no_harm(running: RunningService) -> None:
    for request in (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200_000, b"GET / HTTP/1.1\r\nX: " + b"y" * 2_000_000):
        exchange(running, request)
        assert valid_request_status(running) == 200
