"""Report banned words in the named files, by default in all tracked ones; exit code 1 if there are any."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("banned_words.txt")
SKIPPED = {".lock", ".csv", ".gz", ".json", ".parquet", ".png", ".svg"}
EXEMPT = {"banned_words.txt", "CONTRIBUTING.md", "mermaid.min.js"}  # the list, the glossary, vendored code


def banned_words(text: str) -> dict[str, str]:
    """Return what to write instead of each banned word or phrase."""
    lines = [line.split("->", 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {word.strip().lower(): instead.strip() for word, instead in lines}


def find(text: str, banned: dict[str, str]) -> list[tuple[int, str]]:
    """Return the line number and the word of each use of a banned word; a phrase may go over the end of a line."""
    # Only the first letter may be upper case, so that a phrase such as "is none" does not match code, `is None`.
    words = "|".join(
        f"[{word[0]}{word[0].upper()}]" + re.escape(word[1:]).replace(r"\ ", r"[\s#]+")
        for word in sorted(banned, key=len, reverse=True)
    )
    found = re.finditer(rf"(?<![\w-])(?:{words})(?![\w-])", text)
    return [(text.count("\n", 0, match.start()) + 1, re.sub(r"[\s#]+", " ", match[0]).lower()) for match in found]


def tracked_files() -> list[Path]:
    """Return the files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name]


def main(names: list[str]) -> int:
    """Print each use as path:line, and return the exit code."""
    paths = [Path(name).resolve() for name in names] or tracked_files()
    banned = banned_words(LIST.read_text(encoding="utf-8"))
    uses = [
        f"{path.relative_to(ROOT)}:{number}: {word!r}: write {banned[word]}"
        for path in paths
        if path.is_file() and path.suffix not in SKIPPED and path.name not in EXEMPT
        for number, word in find(path.read_text(encoding="utf-8", errors="ignore"), banned)
    ]
    print("\n".join(uses) or "no banned words")
    return 1 if uses else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
