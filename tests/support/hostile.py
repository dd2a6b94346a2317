"""Column names and texts that break programs, and the smallest possible training."""

from pathlib import Path

TINY = {
    "n_jobs": 1,
    "cv_folds": 2,
    "params": {
        "random_forest": {"n_estimators": 3},
        "nn": {"hidden_layer_sizes": [4], "max_iter": 3},
    },
    "search": {"max_rounds": 3, "space": {"random_forest": {}, "xgboost": {}, "nn": {}, "lightgbm": {}}},
}
HOSTILE = [
    "a[b]<c>", "a b", " a", "A", "../../x", "a/b", "a\\b", "<b>x</b>", "%s", "{}", "{0}", "a\nb", "é", "e\u0301",
    "=cmd()",
    "__import__('os')", "0", "prediction", "target", "index", "price", "Price", "price ", "\u202eabc", "日本",
    "x" * 300, "'",
    '"', ",", "`", "__column0", "None", "nan", "a.b", "FLUX.1", "a" * 500, "😀", "$x_1$", "f0",
]  # fmt: skip
TEXTS = [
    "a", "b", "ab", "", " ", "yes", "no", "1", "1.0", "01", "NaN", "None", "inf", "true", "False", "=cmd()", "é",
    "a\nb", 'q"t',
    "a,b", "x" * 300, "2026-01-31", "<1H", "__import__('os').system('touch MARKER')", "😀", "1e400", "0x1F", "1_000",
]  # fmt: skip


def file_contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Names and texts that YAML or a shell would misread.
MISREAD_TEXTS = [
    "yes",
    "12",
    "1e3",
    "size: m²",
    '#a "b"',
    "it's",
    "- x",
    "null",
    "[a]",
    "${b}",
    "a\\b",
    " edge ",
    "日本",
    "x&y",
    "%",
    "!t",
]
