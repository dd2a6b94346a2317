"""Versions of a registered model, their stage and the alias that goes with it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.params import Stage
from pipeline.register.candidate import Candidate

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# Stages that one version holds at a time, and that therefore have an alias.
EXCLUSIVE: tuple[Stage, ...] = ("Staging", "Production")


def version_of(client: "MlflowClient", name: str, candidate: Candidate) -> tuple["ModelVersion", bool]:
    """Return the version of `candidate`, registering it when it has none.

    Returns
    -------
    version : ModelVersion
    created : bool
        False when the run was registered before.
    """
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.run_id == candidate.run_id:
            return version, False
    _ensure_registered_model(client, name)
    version = client.create_model_version(
        name, source=f"models:/{candidate.model_id}", run_id=candidate.run_id, model_id=candidate.model_id
    )
    return version, True


def remove_version(client: "MlflowClient", version: "ModelVersion") -> None:
    """Take a registration back, and the registered model with it when this was its only version."""
    client.delete_model_version(version.name, str(version.version))
    if not client.search_model_versions(f"name = '{version.name}'"):
        client.delete_registered_model(version.name)


def tag_version(client: "MlflowClient", version: "ModelVersion", candidate: Candidate) -> None:
    """Tag version and run with each other, and the version with hashes and metrics."""
    tags = {"run_id": candidate.run_id, **candidate.tags}
    tags |= {name: f"{value:.6g}" for name, value in candidate.metrics.items()}
    for key, value in tags.items():
        client.set_model_version_tag(version.name, version.version, key, value)
    client.set_tag(candidate.run_id, "registered_model_name", version.name)
    client.set_tag(candidate.run_id, "registered_model_version", version.version)


def set_stage(client: "MlflowClient", version: "ModelVersion", stage: Stage) -> None:
    """Give a version its stage and the alias of the same name; who held an exclusive stage before is archived."""
    with _stages_meant():
        client.transition_model_version_stage(
            version.name, str(version.version), stage, archive_existing_versions=stage in EXCLUSIVE
        )
    held = client.get_registered_model(version.name).aliases
    for other in EXCLUSIVE:
        if other == stage:
            client.set_registered_model_alias(version.name, other.lower(), version.version)
        elif held.get(other.lower()) == version.version:
            client.delete_registered_model_alias(version.name, other.lower())


def _ensure_registered_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _stages_meant() -> Iterator[None]:
    """Silence MLflow's note that stages are deprecated: `models:/NAME/Production` needs them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
