"""Record the provenance of a run: code, data, parameters and environment."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.params.schema import Params
from pipeline.support.git import git
from pipeline.support.gpu import gpu_description
from pipeline.support.paths import DATA_PROFILE, PROJECT
from pipeline.support.yaml import write_yaml
from pipeline.train.dataset_input import dataset_input
from pipeline.train.locked import installed_packages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

REQUIREMENTS = PROJECT / "requirements.txt"

# Written by the stages themselves: changes there are not changes of code or data.
OUTPUTS = (":(exclude,glob)**/mlartifacts/**", ":(exclude,glob)**/dvc.lock")
MAX_LIST_LENGTH = 250  # characters of a list logged as a parameter
HASH_TAGS = {"data_sha256": "raw", "own_data_sha256": "own"}  # a table with appended predictions has both
DVC_VARIABLES = ("DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV")


@dataclass(frozen=True)
class Provenance:
    """The provenance of a training, collected once and logged into each experiment run."""

    tags: dict[str, str]
    settings: dict[str, Any]
    inputs: Sequence["DatasetInput"]
    environment: dict[str, Any]
    profile: dict[str, Any]

    @property
    def gpu_tags(self) -> dict[str, str]:
        """The tags gpu_name, gpu_driver and gpu_memory; empty for a training on the CPU."""
        return {f"gpu_{key}": value for key, value in self.environment.get("gpu", {}).items()}

    def log(self, client: "MlflowClient", run_id: str) -> None:
        """Log the provenance into the active MLflow run."""
        import mlflow

        mlflow.set_tags(self.tags)
        mlflow.log_params(_flat({name: self.settings[name] for name in ("dataset", "evaluate", "train")}))
        # log_dict would sort the keys, but features and searches depend on their order.
        mlflow.log_text(write_yaml(self.settings), "params.yaml")
        client.log_inputs(run_id, datasets=list(self.inputs))
        mlflow.log_dict(self.environment, "environment.json")
        mlflow.log_dict(self.profile, DATA_PROFILE.name)
        mlflow.log_artifact(str(REQUIREMENTS))


def collect_provenance(
    folder: Path, params: Params, profile: dict[str, Any], samples: Mapping[str, pd.DataFrame]
) -> Provenance:
    """Return the provenance of a training in `folder`.

    Parameters
    ----------
    folder : Path
        The pipeline folder.
    params : Params
    profile : dict
        The data profile of stage prepare.
    samples : mapping of str to DataFrame
        The rows from `schema_sample` for the tables "train" and "test".
    """
    hashes = profile["sha256"]
    return Provenance(
        tags={tag: hashes[name] for tag, name in HASH_TAGS.items() if name in hashes} | git_tags(folder) | dvc_tags(),
        settings=params.model_dump(by_alias=True),
        inputs=[
            dataset_input(sample, profile["rows"][context], context, hashes[context], params.dataset)
            for context, sample in samples.items()
        ],
        environment=environment() | ({"gpu": gpu_description()} if params.train.device == "cuda" else {}),
        profile=profile,
    )


def git_tags(folder: Path) -> dict[str, str]:
    """Return the commit of the git repository, whether tracked files have changed, and the position of `folder` in it.

    Returns
    -------
    dict
        git_commit (40 digits), git_dirty ("true" or "false") and pipeline_folder ("." at the top); empty outside a
        repository with commits.
    """
    commit = git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return {}
    changes = git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":/", *OUTPUTS)
    prefix = git(folder, "rev-parse", "--show-prefix")
    return {
        "git_commit": commit,
        "git_dirty": str(bool(changes)).lower(),
        "pipeline_folder": (prefix or ".").rstrip("/"),
    }


def dvc_tags() -> dict[str, str]:
    """Return dvc_stage, dvc_exp_name and dvc_exp_baseline_rev, if DVC set them for this process."""
    return {name.lower(): os.environ[name] for name in DVC_VARIABLES if os.environ.get(name)}


def environment() -> dict[str, Any]:
    """Return the versions of Python, the operating system and all installed packages."""
    return {
        "python": platform.python_version(),
        "os": platform.platform(),
        "machine": platform.machine(),
        "packages": dict(sorted(installed_packages().items(), key=lambda item: item[0].lower())),
    }


def _flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as a flat dict with dotted names, without values that may be long."""
    flat: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, dict) and name not in ("derived", "space"):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float | str) or (isinstance(value, list) and len(str(value)) <= MAX_LIST_LENGTH):
            flat[f"{prefix}{name}"] = value
    return flat
