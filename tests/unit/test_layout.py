"""tests/ mirrors the package, and what tests share is in tests/support."""

import ast

from support.repositories import ROOT

TESTS = ROOT / "tests"


def imported(text: str) -> set[str]:
    """Return the names of the modules that a module imports, and of what it imports from them."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{one.name}" for one in node.names} | {"." * node.level}
    return names


def test_no_module_of_tests_imports_a_test_module() -> None:
    tests = {path.stem for path in TESTS.rglob("*.py") if path.parent != TESTS / "support"}
    places = {path.name for path in TESTS.iterdir() if path.is_dir()} - {"support"}
    for path in TESTS.rglob("*.py"):
        parts = {part for name in imported(path.read_text()) for part in name.split(".")[:-1]}
        modules = {name.split(".")[0] for name in imported(path.read_text())}
        assert not parts & tests, path
        assert not modules & (tests | places | {"tests"}), path


def test_every_folder_of_unit_tests_is_a_room_of_the_package() -> None:
    rooms = {path.name for path in (ROOT / "src/pipeline").iterdir() if path.is_dir()}
    others = {"__pycache__", "docs"}  # docs: of the modules in docs/hooks
    assert {path.name for path in (TESTS / "unit").iterdir() if path.is_dir()} - others <= rooms
