"""Response models of all endpoints except predictions and explanations, for FastAPI's documentation."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Version = Annotated[int, Field(ge=1)]


class ResponseModel(BaseModel):
    """Base of all response models: unknown keys are not allowed."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(ResponseModel):
    """One problem of a request."""

    loc: list[str | int] = Field(description='"body", the row number from 0 if the body is a list, the column.')
    msg: str
    type: str


class Error(ResponseModel):
    """The problems of a request."""

    detail: list[ErrorDetail] = Field(min_length=1)


class TrackingState(ResponseModel):
    """State of the MLflow run that tracks this session of the service."""

    state: Literal["off", "starting", "ok", "retrying"]
    run_id: str | None
    error: str | None
    queued_points: Count
    dropped_points: Count


class RecordingState(ResponseModel):
    """State of the recording of predictions."""

    queued_rows: Count
    written_rows: Count
    dropped_rows: Count
    last_error: str | None


class Health(ResponseModel):
    """Whether a model is being served, and warnings for the operator."""

    status: Literal["ok", "loading", "no model"]
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


class Signature(ResponseModel):
    """The MLflow signature of the logged model."""

    inputs: list[Any]
    outputs: list[Any]


class Hashes(ResponseModel):
    """SHA-256 of the model file, of the logged model and of the training data."""

    model_sha256: str | None
    logged_model_sha256: str | None
    data_sha256: str | None


class Model(ResponseModel):
    """The model being served."""

    name: str
    version: Version
    stage: str
    source: Literal["registry", "export"]
    run_id: str
    model_id: str | None
    family: str
    task: Literal["regression", "classification"]
    labels: list[str | int | bool] | None
    threshold: float | None
    metrics: dict[str, float | None]
    signature: Signature
    features: list[str]
    hashes: Hashes
    git_commit: str | None
    engine: dict[str, str]
    trained_at: str


class ComparedColumn(ResponseModel):
    """Comparison of recent values of a column with those of the training set."""

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


class JudgedRule(ResponseModel):
    """A monitored value and its limit."""

    name: str
    value: float
    limit: float
    alarm: bool


class WindowSize(ResponseModel):
    """Size of the window of recent predictions."""

    rows: Count
    size: Count
    min_rows: Count


class ArmDrift(ResponseModel):
    """Result of the last drift check of a model."""

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
    """Result of the last drift check, and that of the challenger."""

    challenger: ArmDrift | None
