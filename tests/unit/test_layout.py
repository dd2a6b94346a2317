"""The layout of tests/: it mirrors the package, and shared code is in tests/support."""

import ast

from support.repositories import ROOT

TESTS = ROOT / "tests"


def imported_names(source: str) -> set[str]:
    """Return the qualified names of the modules and objects that a module's source imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {"." * node.level}
    return names


def test_test_modules_are_not_imported() -> None:
    tests = {path.stem for path in TESTS.rglob("*.py") if path.parent != TESTS / "support"}
    folders = {path.name for path in TESTS.iterdir() if path.is_dir()} - {"support"}
    for path in TESTS.rglob("*.py"):
        parts = {part for name in imported_names(path.read_text()) for part in name.split(".")[:-1]}
        top_level = {name.split(".")[0] for name in imported_names(path.read_text())}
        assert not parts & tests, path
        assert not top_level & (tests | folders | {"tests"}), path


def test_each_folder_of_unit_tests_matches_a_subpackage() -> None:
    subpackages = {path.name for path in (ROOT / "src/pipeline").iterdir() if path.is_dir()}
    others = {"__pycache__", "docs"}  # docs: the modules in docs/hooks
    assert {path.name for path in (TESTS / "unit").iterdir() if path.is_dir()} - others <= subpackages
