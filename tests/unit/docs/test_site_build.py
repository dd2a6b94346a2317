"""What MkDocs calls: generated parts go in, links and references to other servers are checked."""

import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

from navigation import with_folders
from reference_pages import GENERATORS
from repository_links import replace_repository_links
from self_contained import outside_references
from site_build import MARKER, on_files, on_page_markdown, on_post_build
from support.repositories import ROOT

DOCS = ROOT / "docs"


def built(markdown: str) -> str:
    page: Any = SimpleNamespace(file=SimpleNamespace(src_uri="reference/page.md"))
    return on_page_markdown(markdown, page, MkDocsConfig())


def write_page(site: Path, html: str) -> Path:
    (site / "page.html").write_text(html)
    return site


def test_every_generated_part_is_on_one_page() -> None:
    marked = [found["name"] for path in sorted(DOCS.rglob("*.md")) for found in MARKER.finditer(path.read_text())]
    assert sorted(marked) == sorted(GENERATORS)


def test_a_marker_becomes_a_table() -> None:
    text = built("# Errors\n\n<!-- generated: error-classes -->\n\nMore.\n")
    assert text.startswith("# Errors\n\n| Class |")
    assert text.endswith("\n\nMore.\n")


def test_an_unknown_marker_fails_the_build() -> None:
    with pytest.raises(PluginError, match=r"docs/reference/page\.md: nothing generates 'errors'"):
        built("<!-- generated: errors -->")


def test_links_to_files_that_are_not_pages_are_texts_or_point_to_the_repository() -> None:
    text = "See [the stages](../dvc.yaml#stages), [a page](index.md) and ![a figure](images/a.png)."
    alone = replace_repository_links(text, "page.md", ROOT, None)
    assert alone == "See the stages, [a page](index.md) and ![a figure](images/a.png)."
    linked = replace_repository_links(text, "page.md", ROOT, "https://example.org/repository/")
    assert "[the stages](https://example.org/repository/blob/main/dvc.yaml#stages)" in linked


def test_code_stays_as_it_is() -> None:
    text = "```python\nx[0](../y)\n```\n\n    x[0](../y)\n"
    assert replace_repository_links(text, "page.md", ROOT, None) == text


@pytest.mark.parametrize("target", ["../missing.yaml", "../../outside.txt"])
def test_a_link_to_no_file_fails_the_build(target: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"docs/page.md links to {target}")):
        replace_repository_links(f"[it]({target})", "page.md", ROOT, None)
    with pytest.raises(PluginError, match="correct the link"):
        built("[it](../../missing.yaml)")


def test_a_folder_in_the_navigation_stands_for_its_other_pages() -> None:
    nav = [{"A": ["a/index.md", {"First": "a/z.md"}, "a/"]}, {"B": "b.md"}]
    found = with_folders(nav, ["a/index.md", "a/z.md", "a/y.md", "a/x.md", "a/deeper/w.md", "b.md"])
    assert found == [{"A": ["a/index.md", {"First": "a/z.md"}, "a/x.md", "a/y.md"]}, {"B": "b.md"}]


def test_a_folder_without_pages_fails_the_build() -> None:
    config = MkDocsConfig()
    config.nav = [{"A": ["missing/"]}]
    files: Any = SimpleNamespace(documentation_pages=lambda: [SimpleNamespace(src_uri="index.md")])
    with pytest.raises(PluginError, match=r"docs/missing/, which has no pages: correct the entry"):
        on_files(files, config)


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img src="https://cdn.example/x.png">',
        '<p style="background: url(https://cdn.example/x.png)">',
        "<style>@import 'https://cdn.example/x.css';</style>",
    ],
)
def test_a_page_that_loads_from_another_server_fails_the_build(html: str, tmp_path: Path) -> None:
    assert len(list(outside_references(write_page(tmp_path, html)))) == 1
    config = MkDocsConfig()
    config.site_dir = str(tmp_path)
    with pytest.raises(PluginError, match=r"page\.html: (https:)?//"):
        on_post_build(config)


def test_a_font_of_a_style_sheet_is_found_and_what_is_the_sites_own_is_not(tmp_path: Path) -> None:
    write_page(
        tmp_path, '<a href="https://example.org">x</a><link rel="canonical" href="https://x"><img src="../x.png">'
    )
    (tmp_path / "own.css").write_text("p { background: url(data:image/png;base64,xx) } q { src: url(../font.woff) }")
    assert list(outside_references(tmp_path)) == []
    (tmp_path / "own.css").write_text('@font-face { src: url("https://fonts.example/x.woff2") }')
    assert list(outside_references(tmp_path)) == ["own.css: https://fonts.example/x.woff2"]


def test_the_architecture_page_has_the_layers_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    page = (DOCS / "explanation/architecture.md").read_text()
    rows = re.findall(r"^\| (`.*`) \|", page, re.MULTILINE)
    assert [re.findall(r"`(\w+)`", row) for row in rows] == [layer.split(" | ") for layer in layers]
    diagram = page.split("```mermaid")[1].split("```")[0]
    assert all(layer.replace(" | ", " · ") in diagram for layer in layers)
