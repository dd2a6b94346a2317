"""Looking up what the registry and the store hold, where it may be gone."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

HISTORY = "transition."  # how the tags of a registered model begin that keep its history


def find_version(client: "MlflowClient", name: str, number: int) -> "ModelVersion | None":
    """Return a version of a registered model; None when there is none of that number (any more)."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, str(number))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def find_run(client: "MlflowClient", run_id: str) -> "Run | None":
    """Return a run, deleted or not; None when the store does not have it (any more)."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def empty_models(client: "MlflowClient", query: str | None = None) -> list["RegisteredModel"]:
    """Return the registered models, all or those that a query on names finds, with neither versions nor a history."""
    used = {version.name for version in pages(client.search_model_versions, query)}
    return [
        model
        for model in pages(client.search_registered_models, query)
        if model.name not in used and not any(tag.startswith(HISTORY) for tag in model.tags)
    ]


def pages(search: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """Return all that a search of MLflow, which answers in pages, finds."""
    found: list[Any] = []
    token = None
    while True:
        page = search(*arguments, **options, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
