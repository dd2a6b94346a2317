"""How often Python collects garbage, and how much memory is free."""

import gc
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.support import memory
from pipeline.support.memory import (
    USUAL_THRESHOLDS,
    available_memory,
    collect_garbage_as_usual,
    collect_garbage_rarely,
)


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_garbage_is_collected_rarely_until_the_program_starts_its_work() -> None:
    collect_garbage_rarely()
    assert gc.get_threshold()[0] > 10 * USUAL_THRESHOLDS[0]
    collect_garbage_as_usual()
    assert gc.get_threshold() == USUAL_THRESHOLDS
    assert gc.get_freeze_count() > 1000


def test_the_settings_of_another_program_stay() -> None:
    gc.set_threshold(123, 4, 5)
    gc.unfreeze()
    collect_garbage_as_usual()
    assert gc.get_threshold() == (123, 4, 5)
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(("limit", "free"), [("5000", 3800), ("1000", 0), ("max", None)])
def test_free_memory_is_limited_by_the_container(
    limit: str, free: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in ("limit", "used")]
    for file, content in zip(files, (limit, "1200"), strict=True):
        file.write_text(f"{content}\n")
    monkeypatch.setattr(memory, "CGROUP_FILES", [(str(tmp_path / "none"), str(files[1])), tuple(map(str, files))])
    if free is None:
        assert 0 < available_memory() <= psutil.virtual_memory().total
    else:
        assert available_memory() == free
