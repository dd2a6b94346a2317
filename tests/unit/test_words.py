"""The check of banned words, which `make lint` runs over the whole repository."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from support.repositories import ROOT


@pytest.fixture(scope="module")
def check_words() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_words", ROOT / ".ci" / "check_words.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_words_and_phrases_are_found_with_their_lines(check_words: ModuleType) -> None:
    banned = check_words.banned_words("# a comment\nis none -> is not one\nbad word -> good word\n")
    assert banned == {"is none": "is not one", "bad word": "good word"}
    text = "x is None\nThis is none.\nA bad\n# word, a badword, bad words\n"
    assert check_words.find(text, banned) == [(2, "is none"), (3, "bad word")]


def test_a_file_with_a_banned_word_fails(
    check_words: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_words, "ROOT", tmp_path)
    monkeypatch.setattr(check_words, "LIST", tmp_path / "words.txt")
    (tmp_path / "words.txt").write_text("bad word -> good word\n")
    page = tmp_path / "page.md"
    page.write_text("fine\n")
    assert check_words.main([str(page)]) == 0
    page.write_text("fine\na bad word\n")
    assert check_words.main([str(page)]) == 1
    assert "page.md:2: 'bad word': write good word" in capsys.readouterr().out


def test_the_contributing_guide_names_the_list(check_words: ModuleType) -> None:
    assert ".ci/banned_words.txt" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert check_words.banned_words((ROOT / ".ci/banned_words.txt").read_text(encoding="utf-8"))
