"""The quickstart notebook as a page."""

import json

from reference_pages.paths import ROOT

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


def notebook() -> str:
    """Return the notebook's text and code as Markdown; its outputs are not in git."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    parts = ["".join(cell["source"]) for cell in cells]
    return "\n\n".join(
        f"```python\n{part}\n```" if cell["cell_type"] == "code" else part.replace("(tutorial/index.md)", "(index.md)")
        for cell, part in zip(cells, parts, strict=True)
    )
