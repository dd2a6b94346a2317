"""Cheap figures for tests that do not look at them: drawing takes half the time of a small training."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from matplotlib.figure import Figure

from pipeline.train import experiments
from pipeline.train.report import canvas, report

ONE_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTwjmgAAAABJRU5ErkJggg=="
)


@contextmanager
def without_figures() -> Iterator[None]:
    """Save one pixel instead of every figure, and no table report."""

    def save(_: Figure, target: str | Path | BinaryIO, **__: object) -> None:
        Path(target).write_bytes(ONE_PIXEL) if isinstance(target, str | Path) else target.write(ONE_PIXEL)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Figure, "savefig", save)
        monkeypatch.setattr(report, "png", lambda _: ONE_PIXEL)
        monkeypatch.setattr(experiments, "table_report", lambda *_: "<html></html>")
        yield


@contextmanager
def with_small_figures() -> Iterator[None]:
    """Draw every figure small: a figure that cannot be drawn still fails."""
    save = Figure.savefig

    def save_small(figure: Figure, target: str | Path | BinaryIO, **options: object) -> None:
        save(figure, target, format=options.get("format", "png"), dpi=20)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Figure, "savefig", save_small)
        monkeypatch.setattr(canvas, "DPI", 20)
        yield
