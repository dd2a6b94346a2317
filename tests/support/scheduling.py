"""A pytest-xdist scheduler for ``--dist loadgroup``.

A file with ``pytestmark = pytest.mark.xdist_group(…)`` runs in one worker, every other test in any free worker.
pytest-xdist 3.8 appends the group to the test ID, but pytest 9.2 does not show it there, so nothing is grouped.
"""

import functools
import re
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

GROUP = re.compile(r"^pytestmark = .*\bxdist_group\(\"(\w+)\"\)", re.MULTILINE)


class GroupScheduling(LoadScopeScheduling):
    """A scheduler that sends the tests of a group to one worker, the largest groups first."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(self.config.rootpath / nodeid.partition("::")[0]) or nodeid


@functools.cache
def group_of(path: Path) -> str | None:
    """Return the group of a test file, or None."""
    found = GROUP.search(path.read_text(encoding="utf-8"))
    return found[1] if found else None


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling | None:
    """Replace the group scheduler of pytest-xdist."""
    return GroupScheduling(config, log) if config.getoption("dist") == "loadgroup" else None
