"""The commit whose figures the page of all benchmarks shows."""

from pathlib import Path

import pytest
from run_all import clean_commit, code_hash

from support.repositories import commit, git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("src/code.py", "benchmarks/search.py", "benchmarks/README.md", "params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("first\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "user.name", "Test")
    git(tmp_path, "config", "user.email", "test@localhost")
    commit(tmp_path, "first")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("benchmarks/README.md", True),
        ("benchmarks/results.json", True),
        ("benchmarks/search.py", False),
        ("src/code.py", False),
        ("params.yaml", False),
    ],
)
def test_results_stay_valid_while_the_code_is_the_same(repository: Path, name: str, same: bool) -> None:
    before = code_hash(repository, clean_commit(repository))
    (repository / name).write_text("second\n")
    commit(repository, "second")
    assert (code_hash(repository, clean_commit(repository)) == before) is same


def test_a_changed_working_tree_is_refused_but_for_the_page(repository: Path) -> None:
    (repository / "benchmarks/README.md").write_text("a new page\n")
    (repository / "benchmarks/results.json").write_text("{}\n")
    clean_commit(repository)
    (repository / "src/code.py").write_text("changed\n")
    (repository / "src/new.py").write_text("new\n")
    with pytest.raises(SystemExit, match=r"these files have changes: src/code\.py, src/new\.py"):
        clean_commit(repository)
