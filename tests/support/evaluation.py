"""Small pipeline folders with an evaluate section of their own."""

from pathlib import Path

from pipeline.params.load import load_params
from pipeline.params.schema import Params
from pipeline.prepare.stage import prepare
from support.folders import SMALL
from support.repositories import change_params

TINY = {**SMALL, "cv_folds": 2, "explain_rows": 10, "experiment_name": "small"}


def prepare_params(folder: Path, target: str = "place", **evaluate: object) -> Params:
    """Prepare the folder's table for the target and return params with this evaluate section."""
    task = "regression" if target == "price" else "classification"
    dataset = {"path": "data.csv", "target": target, "task": task}
    change_params(folder, dataset=dataset, features={}, evaluate=evaluate, train=TINY)
    params = load_params()
    prepare(params.dataset, folder)
    return params


# A metric module that touches a marker file when it is imported.
MARKER_METRIC = "from pathlib import Path\nPath({!r}).touch()\ndef metric(*_): return {{'a': 1}}\n"
