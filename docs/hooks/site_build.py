"""What MkDocs calls while it builds the site: generated parts go into pages, and the result is checked."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))  # MkDocs takes it away after it has loaded this file

from navigation import with_folders
from reference_pages import GENERATORS
from reference_pages.paths import ROOT, make_importable
from repository_links import replace_repository_links
from self_contained import outside_references

MARKER = re.compile(r"^<!-- generated: (?P<name>\S+) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Put all pages of the folders that the navigation names into it."""
    try:
        config.nav = with_folders(config.nav or [], [page.src_uri for page in files.documentation_pages()])
    except ValueError as error:
        raise PluginError(f"{error}: correct the entry") from None
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Return a page with its generated parts, and with links that lead somewhere."""
    make_importable()

    def generated(match: re.Match[str]) -> str:
        if match["name"] not in GENERATORS:
            known = ", ".join(GENERATORS)
            raise PluginError(
                f"docs/{page.file.src_uri}: nothing generates {match['name']!r} (it must be one of {known})"
            )
        return GENERATORS[match["name"]]()

    try:
        linked = replace_repository_links(markdown, page.file.src_uri, ROOT, config.repo_url)
    except ValueError as error:
        raise PluginError(f"{error}: correct the link") from None
    return MARKER.sub(generated, linked)


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Fail if a page loads anything from another server, which would tell it who reads the page."""
    found = list(outside_references(Path(config.site_dir)))
    if found:
        raise PluginError("the site loads files from other servers; add them to docs/assets/:\n  " + "\n  ".join(found))
