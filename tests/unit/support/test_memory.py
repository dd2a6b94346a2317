"""How often Python collects garbage, while packages are imported and afterwards."""

import gc
from collections.abc import Iterator

import pytest

from pipeline.support.memory import USUAL_THRESHOLDS, collect_garbage_as_usual, collect_garbage_rarely


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
