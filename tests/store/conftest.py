"""Fixtures for tests that use an MLflow store in this process."""

from collections.abc import Iterator

import pytest

from pipeline.params.schema import RegisterParams
from support.figures import without_figures
from support.folders import Trained
from support.registry import EXPORTS


@pytest.fixture
def params(trained: Trained, request: pytest.FixtureRequest) -> Iterator[RegisterParams]:
    """Return params with a registered model name for one test, and move its exports away afterwards."""
    yield RegisterParams(model_name=request.node.name[:90].replace("[", "-").replace("]", ""))
    for name in ("latest", "v001", "v002"):
        path = EXPORTS / name
        if path.is_symlink() or path.exists():
            path.rename(path.with_name(f"{request.node.name[:50].replace('/', '')}-{name}"))


@pytest.fixture
def _without_figures() -> Iterator[None]:
    """Train without drawing figures."""
    with without_figures():
        yield
