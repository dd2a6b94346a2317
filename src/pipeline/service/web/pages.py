"""The pages a browser gets: the service's own, and Swagger UI over its OpenAPI document, all from local files."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response

OWN = Path(__file__).parent / "page"
SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")  # of the package fastapi_offline
# A browser takes nothing from elsewhere, and sends nothing there.
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'"
PAGE_POLICY = f"{NOTHING}; script-src 'self'; style-src 'self'; img-src 'self'"
DOCS_POLICY = f"{NOTHING}; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"  # as it asks for
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}


def add_pages(app: "FastAPI") -> None:
    """Add ``/``, the page; ``/docs``, Swagger UI over ``/openapi.json``; and ``/page/<file>``, what they are made of.

    Parameters
    ----------
    app : FastAPI
        Made with ``docs_url=None``, or its own ``/docs`` would go first.
    """
    from starlette.exceptions import HTTPException
    from starlette.responses import FileResponse, HTMLResponse

    vendored = files("fastapi_offline") / "static"
    served = {path.name: path for path in OWN.iterdir() if path.suffix != ".html"}
    served |= {name: Path(str(vendored / name)) for name in SWAGGER}

    @app.get("/", operation_id="page", summary="The page", response_class=HTMLResponse, response_model=None)
    def page() -> "Response":
        return FileResponse(OWN / "index.html", headers=HEADERS | {"Content-Security-Policy": PAGE_POLICY})

    @app.get("/docs", include_in_schema=False)
    def docs() -> "Response":
        return FileResponse(OWN / "docs.html", headers=HEADERS | {"Content-Security-Policy": DOCS_POLICY})

    @app.get("/page/{name}", include_in_schema=False)
    def file(name: str) -> "Response":
        if name not in served:
            raise HTTPException(404, "there is no such file")
        return FileResponse(served[name], headers=HEADERS)
