"""Fixtures of tests that use an MLflow store in this process."""

from collections.abc import Iterator

import pytest

from pipeline.params.schema import RegisterParams
from support.folders import Trained
from support.pictures import undrawn
from support.registry import EXPORTS


@pytest.fixture
def params(trained: Trained, request: pytest.FixtureRequest) -> Iterator[RegisterParams]:
    """Name a registered model that no other test uses, and forget the exports afterwards."""
    yield RegisterParams(model_name=request.node.name[:90].replace("[", "-").replace("]", ""))
    for name in ("latest", "v001", "v002"):
        path = EXPORTS / name
        if path.is_symlink() or path.exists():
            path.rename(path.with_name(f"{request.node.name[:50].replace('/', '')}-{name}"))


@pytest.fixture
def _undrawn() -> Iterator[None]:
    """Train without drawing: no test here looks at the pictures."""
    with undrawn():
        yield
