"""What the service answers besides predictions, as pydantic models from which FastAPI documents it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Version = Annotated[int, Field(ge=1)]


class Answer(BaseModel):
    """Base of every answer: it has no other keys."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(Answer):
    """One thing that is wrong with a request."""

    loc: list[str | int] = Field(description="body, the row's number from 0 where there are many, the column.")
    msg: str
    type: str


class Error(Answer):
    """Why a request is refused."""

    detail: list[ErrorDetail] = Field(min_length=1)


class TrackingState(Answer):
    """The session's MLflow run."""

    state: Literal["off", "starting", "ok", "retrying"]
    run_id: str | None
    error: str | None
    queued_points: Count
    dropped_points: Count


class RecordingState(Answer):
    """The recorded predictions."""

    queued_rows: Count
    written_rows: Count
    dropped_rows: Count
    last_error: str | None


class Health(Answer):
    """Whether rows are answered, and what else an operator should know."""

    status: Literal["ok", "no model"]
    reason: str | None
    model_name: str
    model_version: Version | None
    source: Literal["registry", "export"] | None
    challenger_version: Version | None
    warnings: list[str]
    drift_detected: bool
    tracking: TrackingState
    recording: RecordingState
    uptime_seconds: float = Field(ge=0)


class Signature(Answer):
    """MLflow's signature of the logged model."""

    inputs: list[Any]
    outputs: list[Any]


class Hashes(Answer):
    """SHA-256 of the model's file, of the logged model and of the training data."""

    model_sha256: str | None
    logged_model_sha256: str | None
    data_sha256: str | None


class Model(Answer):
    """The model that is served."""

    name: str
    version: Version
    stage: str
    source: Literal["registry", "export"]
    run_id: str
    model_id: str | None
    family: str
    task: Literal["regression", "classification"]
    labels: list[str | int | bool] | None
    metrics: dict[str, float | None]
    signature: Signature
    features: list[str]
    hashes: Hashes
    git_commit: str | None
    engine: dict[str, str]
    trained_at: str


class ComparedColumn(Answer):
    """How recent values compare with those of the training rows."""

    column: str
    kind: str
    test: str
    statistic: float | None
    p_value: Share | None
    psi: float
    missing_share: Share
    reference_missing_share: Share
    missing_p_value: Share | None
    missing_psi: float | None
    alarm: bool


class JudgedRule(Answer):
    """A number and its limit."""

    name: str
    value: float
    limit: float
    alarm: bool


class WindowSize(Answer):
    """How many rows are judged."""

    rows: Count
    size: Count
    min_rows: Count


class ArmDrift(Answer):
    """The last look at the recent predictions of a model."""

    model_version: Version | None
    detected: bool
    alarms: list[str]
    checked_at: str | None
    window: WindowSize
    recent: dict[str, Any]
    rules: list[JudgedRule]
    columns: list[ComparedColumn]
    prediction: ComparedColumn | None
    confidence: ComparedColumn | None
    alpha: float
    psi_limit: float | None
    note: str | None


class Drift(ArmDrift):
    """The last look at the recent predictions, and the challenger's."""

    challenger: ArmDrift | None
