"""Which worker runs which tests, with pytest-xdist's ``--dist loadgroup``.

The tests of a file with ``pytestmark = pytest.mark.xdist_group(…)`` run in one worker, all others wherever one is free.
pytest-xdist 3.8 writes the group into a test's id, which pytest 9.2 does not show, and so groups nothing.
"""

import functools
import re
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

GROUP = re.compile(r"^pytestmark = .*\bxdist_group\(\"(\w+)\"\)", re.MULTILINE)


class GroupScheduling(LoadScopeScheduling):
    """Sends the tests of a group to one worker, the largest groups first."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(self.config.rootpath / nodeid.partition("::")[0]) or nodeid


@functools.cache
def group_of(path: Path) -> str | None:
    """Return the group that a file of tests is marked with."""
    found = GROUP.search(path.read_text(encoding="utf-8"))
    return found[1] if found else None


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling | None:
    """Take the place of pytest-xdist's scheduler of groups."""
    return GroupScheduling(config, log) if config.getoption("dist") == "loadgroup" else None
