"""Whether a built site loads everything it shows from itself."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADING_RELATIONS = {
    "stylesheet",
    "icon",
    "shortcut",
    "preload",
    "modulepreload",
    "preconnect",
    "dns-prefetch",
    "manifest",
}
LOADING_ATTRIBUTES = {"src", "srcset", "poster", "data", "background"}
OUTSIDE = re.compile(r"\s*(?:[a-z]+:)?//", re.IGNORECASE)
STYLE_URL = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])((?:[a-z]+:)?//[^"')\s]+)""", re.IGNORECASE)


def outside_references(site: Path) -> Iterator[str]:
    """Yield each script, style, font or image that a page or a style sheet loads from elsewhere.

    Parameters
    ----------
    site : Path
        The folder of the built site.

    Yields
    ------
    str
        The file and the address.
    """
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            parser = _References()
            parser.feed(path.read_text(encoding="utf-8"))
            found = parser.outside
        elif path.suffix in (".css", ".svg"):
            found = STYLE_URL.findall(path.read_text(encoding="utf-8"))
        else:
            continue
        yield from (f"{path.relative_to(site)}: {address}" for address in found)


class _References(HTMLParser):
    """Collects the addresses outside the site that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        loaded = [value for name, value in values.items() if name in LOADING_ATTRIBUTES]
        if tag == "link" and LOADING_RELATIONS & set(values.get("rel", "").lower().split()):
            loaded.append(values.get("href", ""))
        if tag in ("image", "use"):  # of SVG
            loaded += [values.get("href", ""), values.get("xlink:href", "")]
        self.outside += [value for value in loaded if OUTSIDE.match(value)]
        self.outside += STYLE_URL.findall(values.get("style", ""))
        self._in_style = tag == "style"

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.outside += STYLE_URL.findall(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False
