"""The service's settings: environment variables, and a file `.env` in the current folder."""

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
    """The settings of the service; each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    enable_model_registry: bool = Field(
        default=True, description="Whether to load the model from the registry; false: from the local export."
    )
    mlflow_tracking_uri: str | None = Field(
        default=None,
        description="The MLflow store or server; empty: the repository's mlruns/. MLflow's own variables supply user "
        "and password.",
    )
    mlflow_model_name: Name = Field(
        default="housing-price-production",
        description="The registered model; by default `register.model_name` of params.yaml.",
    )
    model_stage: Stage = Field(default="Production", description="The stage whose version is served.")
    model_version: int | None = Field(
        default=None, ge=1, description="The version to serve instead of the one in MODEL_STAGE."
    )
    challenger_version: int | None = Field(
        default=None, ge=1, description="A second version, which answers a share of the requests."
    )
    challenger_share: float = Field(
        default=0.1, gt=0, lt=1, description="The share of the requests that the challenger answers."
    )

    enable_mlflow_tracking: bool = Field(
        default=True, description="Whether to record each session of the service as an MLflow run."
    )
    mlflow_experiment_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=250,
        description="The MLflow experiment of these runs; empty: the model's name and `-serving`.",
    )
    service_tracking_seconds: Seconds = Field(
        default=30, description="Seconds between two points of the metrics that are logged to MLflow."
    )
    service_predictions: Path = Field(
        default=Path("data/predictions"), description="The folder of the recorded predictions."
    )
    service_queue_rows: int = Field(
        default=200_000,
        ge=1_000,
        description="Maximum number of predicted rows that wait to be recorded; more are dropped and counted.",
    )
    service_webhook_url: SecretStr | None = Field(
        default=None, description="An address to which alarms are posted; a secret."
    )

    service_host: str = Field(
        default="127.0.0.1", description="The address to listen on; 0.0.0.0: all addresses of the machine."
    )
    service_port: int = Field(default=8080, ge=0, lt=2**16, description="The port to listen on; 0: any free port.")
    service_api_key: SecretStr | None = Field(
        default=None,
        description="The key that requests must send in the header X-API-Key; empty: no key is required; a secret.",
    )
    service_max_rows: int = Field(default=10_000, ge=1, description="Maximum number of rows in a request.")
    service_max_explained_rows: int = Field(
        default=100, ge=1, description="Maximum number of rows in a request to /explain."
    )
    service_max_body_bytes: int = Field(default=2**24, ge=1_000, description="Maximum size of a request body in bytes.")
    service_read_timeout_seconds: Seconds = Field(
        default=10, description="Seconds in which a request must arrive, and in which its response must be read."
    )
    service_poll_seconds: Seconds = Field(
        default=5, description="Seconds between two checks for another version or export."
    )

    @field_validator("service_api_key")
    @classmethod
    def _is_sendable(cls, key: SecretStr | None) -> SecretStr | None:
        text = key.get_secret_value() if key else "a key"
        if not text.isascii() or not text.isprintable() or text != text.strip():
            raise ValueError("a header cannot carry it: use printable ASCII without spaces at the ends")
        return key

    @field_validator("service_webhook_url")
    @classmethod
    def _is_an_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not _is_http(url.get_secret_value()):
            raise ValueError("it is no http:// or https:// address")
        if url and "@" in urlsplit(url.get_secret_value()).netloc:
            raise ValueError("leave user and password out of the address: they are not sent")
        return url

    @field_validator("mlflow_tracking_uri")
    @classmethod
    def _can_be_read(cls, uri: str | None) -> str | None:
        if uri and uri.startswith("http") and not _is_http(uri):
            raise ValueError("it is no http:// or https:// address")
        return uri

    @property
    def experiment_name(self) -> str:
        """The MLflow experiment of the service's sessions."""
        return self.mlflow_experiment_name or f"{self.mlflow_model_name}-serving"

    def shown(self) -> dict[str, str]:
        """Return all settings as texts, by the variables' names, without secrets."""
        from pipeline.store.open import store_uri, without_password

        values: dict[str, Any] = dict(self) | {
            "mlflow_tracking_uri": without_password(store_uri()),
            "mlflow_experiment_name": self.experiment_name,
        }
        return {name.upper(): _written(value) for name, value in values.items()}


def load_settings(model_name: str | None) -> Settings:
    """Read the settings; what is in the environment goes before what is in `.env`, which other libraries see too.

    Parameters
    ----------
    model_name : str, optional
        The registered model unless MLFLOW_MODEL_NAME names another.

    Raises
    ------
    PipelineError
        When a value cannot be used; the message names each variable, and no secret.
    """
    try:
        load_dotenv(ENV_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{ENV_FILE} cannot be read: {error}", "mend it, or move it away") from None
    try:
        found = Settings()
    except ValidationError as error:
        wrong = "; ".join(f"{str(one['loc'][0]).upper()}: {_reason(one['msg'])}" for one in error.errors())
        raise PipelineError(f"settings: {wrong}", "mend it in the environment or in .env") from None
    named = "mlflow_model_name" in found.model_fields_set
    return found if named or model_name is None else found.model_copy(update={"mlflow_model_name": model_name})


def unknown_settings() -> list[str]:
    """Return what the environment has that looks like a setting and is none, with what may be meant."""
    known = [name.upper() for name in Settings.model_fields]
    strange = sorted(name for name in os.environ if name.startswith(PREFIXES) and name not in known)
    meant = {name: get_close_matches(name, known, 1) for name in strange}
    return [f"{name}{f' (is {meant[name][0]} meant?)' if meant[name] else ''}" for name in strange]


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
    return known and address.isprintable() and " " not in address


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should", "it should")
