"""Links from pages to files of the repository that are not pages."""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from posixpath import normpath

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]\[]*)\]\((?P<target>(?![a-z]+:|[#/])[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


def replace_repository_links(markdown: str, page: str, root: Path, repo_url: str | None) -> str:
    """Return a page whose links to files outside docs/ point to the repository, or are their text alone.

    Parameters
    ----------
    markdown : str
        The page.
    page : str
        Its path below docs/.
    root : Path
        The repository.
    repo_url : str, optional
        The repository's address; None: it has none that readers could open.

    Raises
    ------
    ValueError
        If there is no such file or folder in the repository.
    """

    def replaced(match: re.Match[str]) -> str:
        target = normpath(PurePosixPath("docs", page).parent / match["target"])
        if target.startswith("docs/"):
            return match[0]
        if target.startswith("..") or not (root / target).exists():
            raise ValueError(f"docs/{page} links to {match['target']}, which does not exist")
        if not repo_url:
            return match["text"]
        return f"[{match['text']}]({repo_url.rstrip('/')}/blob/main/{target}{match['anchor'] or ''})"

    return _outside_code(markdown, lambda text: LINK.sub(replaced, text))


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Apply `change` to the lines that are not in a fenced or indented block of code."""
    lines, fence = [], ""
    for line in markdown.splitlines(keepends=True):
        mark = line.lstrip()[:3]
        is_fence = mark in ("```", "~~~")
        lines.append(line if fence or is_fence or line.startswith("    ") else change(line))
        if is_fence:
            fence = "" if mark == fence else fence or mark
    return "".join(lines)
