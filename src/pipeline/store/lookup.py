"""Look up runs, registered models and versions, any of which may have been deleted."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

HISTORY_PREFIX = "transition."  # prefix of a registered model's tags that record its history


def find_version(client: "MlflowClient", name: str, number: int) -> "ModelVersion | None":
    """Return a version of a registered model; None if it does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, str(number))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def find_run(client: "MlflowClient", run_id: str) -> "Run | None":
    """Return a run, including one marked as deleted; None if the store does not have it."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def empty_models(client: "MlflowClient", query: str | None = None) -> list["RegisteredModel"]:
    """Return the registered models that have neither versions nor a recorded history.

    `query` is an MLflow filter on the model's name; by default, all registered models are searched.
    """
    used = {version.name for version in search_all(client.search_model_versions, query)}
    return [
        model
        for model in search_all(client.search_registered_models, query)
        if model.name not in used and not any(tag.startswith(HISTORY_PREFIX) for tag in model.tags)
    ]


def search_all(search: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """Return the results of all pages of an MLflow search, given the search function and its arguments."""
    results: list[Any] = []
    token = None
    while True:
        page = search(*arguments, **options, page_token=token)
        results += page
        token = page.token
        if not token:
            return results
