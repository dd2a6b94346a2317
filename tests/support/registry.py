"""The state of registered models."""

from pathlib import Path

from mlflow import MlflowClient

EXPORTS = Path("models/production")


def state(client: MlflowClient, name: str) -> dict[int, tuple[str, list[str]]]:
    """Return the stage and the aliases of every version."""
    aliases: dict[str, str] = client.get_registered_model(name).aliases
    return {
        int(version.version): (
            version.current_stage,
            sorted(alias for alias, number in aliases.items() if int(number) == int(version.version)),
        )
        for version in client.search_model_versions(f"name = '{name}'")
    }
