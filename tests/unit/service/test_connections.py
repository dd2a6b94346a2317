"""What the service knows of uvicorn's internals is true of the version that is installed."""

import uvicorn

from pipeline.service.web.connections import READ_IN


def test_uvicorns_internals_were_read_in_the_version_that_is_installed() -> None:
    assert uvicorn.__version__ == READ_IN, "read uvicorn's HttpToolsProtocol again, then change READ_IN"
