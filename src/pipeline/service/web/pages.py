"""The pages for browsers: the service's own page and Swagger UI, with all their files served locally."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response

PAGE_FOLDER = Path(__file__).parent / "page"
SWAGGER_FILES = ("swagger-ui-bundle.js", "swagger-ui.css")  # of the package fastapi_offline
# Browsers neither load anything from other hosts nor send anything there.
BASE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'"
PAGE_POLICY = f"{BASE_POLICY}; script-src 'self'; style-src 'self'; img-src 'self'"
# Swagger UI needs inline styles and data: images.
DOCS_POLICY = f"{BASE_POLICY}; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}


def add_pages(app: "FastAPI") -> None:
    """Add the page at ``/``, Swagger UI for ``/openapi.json`` at ``/docs``, and their files at ``/page/<file>``.

    Parameters
    ----------
    app : FastAPI
        Created with ``docs_url=None``; otherwise FastAPI's own ``/docs`` takes precedence.
    """
    from starlette.exceptions import HTTPException
    from starlette.responses import FileResponse, HTMLResponse

    vendored = files("fastapi_offline") / "static"
    paths = {path.name: path for path in PAGE_FOLDER.iterdir() if path.suffix != ".html"}
    paths |= {name: Path(str(vendored / name)) for name in SWAGGER_FILES}

    @app.get(
        "/",
        operation_id="page",
        summary="Get the page for browsers",
        response_class=HTMLResponse,
        response_model=None,
    )
    def page() -> "Response":
        return FileResponse(PAGE_FOLDER / "index.html", headers=HEADERS | {"Content-Security-Policy": PAGE_POLICY})

    @app.get("/docs", include_in_schema=False)
    def docs() -> "Response":
        return FileResponse(PAGE_FOLDER / "docs.html", headers=HEADERS | {"Content-Security-Policy": DOCS_POLICY})

    @app.get("/page/{name}", include_in_schema=False)
    def file(name: str) -> "Response":
        if name not in paths:
            raise HTTPException(404, "file not found")
        return FileResponse(paths[name], headers=HEADERS)
