"""The uvicorn internals that the service depends on were verified in the installed version."""

import uvicorn

from pipeline.service.web.connections import UVICORN_VERSION


def test_uvicorn_internals_were_verified_in_the_installed_version() -> None:
    assert uvicorn.__version__ == UVICORN_VERSION, "check uvicorn's HttpToolsProtocol, then change UVICORN_VERSION"
