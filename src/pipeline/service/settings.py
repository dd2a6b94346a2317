"""Read the service's settings from environment variables and from `.env` in the current folder."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from dotenv import load_dotenv
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import PipelineError
from pipeline.params.schema import Name, Stage

ENV_FILE = Path(".env")
PREFIXES = ("SERVICE_", "CHALLENGER_", "MODEL_")
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(BaseSettings):
    """The settings of the service; the environment variable of a field is its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    enable_model_registry: bool = Field(
        default=True,
        description="Load models from the MLflow Model Registry. If false, serve local exports only.",
    )
    mlflow_tracking_uri: str | None = Field(
        default=None,
        description="MLflow tracking URI of the store. By default the repository's `mlruns/`.",
    )
    mlflow_model_name: Name = Field(
        default="housing-price-production",
        description="Name of the registered model. By default `register.model_name` of params.yaml, if there is one.",
    )
    model_stage: Stage = Field(
        default="Production",
        description="Serve the model version in this stage.",
    )
    model_version: int | None = Field(
        default=None,
        ge=1,
        description="Serve this model version, whatever its stage.",
    )
    challenger_version: int | None = Field(
        default=None,
        ge=1,
        description="Model version to try on a share of the requests, whatever its stage. By default there is none.",
    )
    challenger_share: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Share of the request keys that the challenger predicts, between 0 and 1.",
    )

    enable_mlflow_tracking: bool = Field(
        default=True,
        description="Log the metrics of each session to an MLflow run.",
    )
    mlflow_experiment_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=250,
        description="MLflow experiment of the session runs. By default the model name followed by `-serving`.",
    )
    service_tracking_seconds: Seconds = Field(
        default=30,
        description="Seconds between two points of the metrics in MLflow.",
    )
    service_predictions: Path = Field(
        default=Path("data/predictions"),
        description="Folder of the recorded predictions.",
    )
    service_queue_rows: int = Field(
        default=200_000,
        ge=1_000,
        description="Maximum number of rows waiting to be recorded. Further rows are predicted, but not recorded; they "
        "are counted as dropped.",
    )
    service_webhook_url: SecretStr | None = Field(
        default=None,
        description="http:// or https:// URL that gets a POST request when drift alarms begin or end.",
    )

    service_host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Use 0.0.0.0 to accept connections on all interfaces.",
    )
    service_port: int = Field(
        default=8080,
        ge=0,
        lt=2**16,
        description="Port to listen on. 0 takes any free port.",
    )
    service_api_key: SecretStr | None = Field(
        default=None,
        description="API key that clients must send in the `X-API-Key` header. By default no key is required.",
    )
    service_max_rows: int = Field(
        default=10_000,
        ge=1,
        description="Maximum number of rows in a request to /predict.",
    )
    service_max_explained_rows: int = Field(
        default=100,
        ge=1,
        description="Maximum number of rows in a request to /explain.",
    )
    service_max_body_bytes: int = Field(
        default=2**24,
        ge=1_000,
        description="Maximum size of a request body in bytes.",
    )
    service_read_timeout_seconds: Seconds = Field(
        default=10,
        description="Seconds that a client may take to send a request's headers, and again to send its body.",
    )
    service_poll_seconds: Seconds = Field(
        default=5,
        description="Seconds between two checks for a new model version or export.",
    )

    @field_validator("service_api_key")
    @classmethod
    def _is_valid_header(cls, key: SecretStr | None) -> SecretStr | None:
        text = key.get_secret_value() if key else "a key"
        if not text.isascii() or not text.isprintable() or text != text.strip():
            raise ValueError("not a valid header value: use printable ASCII without leading or trailing spaces")
        return key

    @field_validator("service_webhook_url")
    @classmethod
    def _is_valid_webhook(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not _is_http(url.get_secret_value()):
            raise ValueError("not an http:// or https:// URL")
        if url and "@" in urlsplit(url.get_secret_value()).netloc:
            raise ValueError("remove the user name and password from the URL: the service does not send them")
        return url

    @field_validator("mlflow_tracking_uri")
    @classmethod
    def _is_valid_store(cls, uri: str | None) -> str | None:
        if uri and uri.startswith("http") and not _is_http(uri):
            raise ValueError("not an http:// or https:// URL")
        return uri

    @property
    def experiment_name(self) -> str:
        """The MLflow experiment of the session runs."""
        return self.mlflow_experiment_name or f"{self.mlflow_model_name}-serving"

    def as_strings(self) -> dict[str, str]:
        """Return all settings as strings, by environment variable, with secrets masked."""
        from pipeline.store.open import mask_passwords, store_uri

        values: dict[str, Any] = dict(self) | {
            "mlflow_tracking_uri": mask_passwords(store_uri()),
            "mlflow_experiment_name": self.experiment_name,
        }
        return {name.upper(): _as_string(value) for name, value in values.items()}


def load_settings(model_name: str | None) -> Settings:
    """Return the settings; the environment takes precedence over `.env`.

    `.env` is loaded into the environment, so that other libraries, such as MLflow, see its variables too.

    Parameters
    ----------
    model_name : str, optional
        The registered model, unless MLFLOW_MODEL_NAME is set.

    Raises
    ------
    PipelineError
        When a value is invalid; the message names every variable, and shows no secret.
    """
    try:
        load_dotenv(ENV_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{ENV_FILE} cannot be read: {error}", "fix the file, or move it away") from None
    try:
        settings = Settings()
    except ValidationError as error:
        problems = "; ".join(f"{str(item['loc'][0]).upper()}: {_reason(item['msg'])}" for item in error.errors())
        raise PipelineError(f"settings: {problems}", "fix it in the environment or in .env") from None
    if model_name is None or "mlflow_model_name" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"mlflow_model_name": model_name})


def unknown_settings() -> list[str]:
    """Return the environment variables that look like settings but are not, each with the closest setting."""
    known = [name.upper() for name in Settings.model_fields]
    unknown = sorted(name for name in os.environ if name.startswith(PREFIXES) and name not in known)
    closest = {name: get_close_matches(name, known, 1) for name in unknown}
    return [f"{name}{f' (did you mean {closest[name][0]}?)' if closest[name] else ''}" for name in unknown]


def _as_string(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_complete = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
    return is_complete and url.isprintable() and " " not in url


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should", "it should")
