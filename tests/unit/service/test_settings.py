"""Settings of the service: sources, precedence and validation; and the challenger's share of the requests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.service.models.ab import choose_arm
from pipeline.service.settings import load_settings, unknown_settings


def test_challenger_share_is_stable_and_accurate() -> None:
    keys = [str(number).encode() for number in range(20_000)]
    small, large = ({key for key in keys if choose_arm(key, share) == "challenger"} for share in (0.1, 0.5))
    assert small < large  # keys of the challenger stay with it when the share grows
    assert abs(len(small) / len(keys) - 0.1) < 0.01
    assert choose_arm(b"a customer", 0.644) != choose_arm(b"a customer", 0.645)  # in this and every other process


@pytest.mark.parametrize(
    ("name", "value", "variable"),
    [
        ("SERVICE_PORT", "eighty", "SERVICE_PORT"),
        ("CHALLENGER_SHARE", "1.5", "CHALLENGER_SHARE"),
        ("MODEL_STAGE", "Live", "MODEL_STAGE"),
        *(
            ("SERVICE_WEBHOOK_URL", url, "SERVICE_WEBHOOK_URL")
            for url in ("ftp://x", "x/y", "https://", "http://[::1", "http://x/a secret", "https://user:secret@x/y")
        ),
        ("MLFLOW_TRACKING_URI", "http://[bad", "MLFLOW_TRACKING_URI"),
        ("SERVICE_API_KEY", "schlüssel-9", "SERVICE_API_KEY"),
    ],
)
def test_an_invalid_setting_is_named_without_its_secret(
    name: str, value: str, variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    assert call("serve") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: settings: {variable}: ")
    assert "fix it in the environment or in .env" in error
    assert ("KEY" not in name) or value not in error


def test_environment_takes_precedence_over_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL_STAGE", "SERVICE_PORT", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")  # so that monkeypatch undoes what .env sets
        monkeypatch.delenv(name)
    monkeypatch.setenv("SERVICE_PORT", "9001")
    (tmp_path / ".env").write_text("MODEL_STAGE=Staging\nSERVICE_PORT=9000\nCHALLENGER_VERSION=\n")
    settings = load_settings("from-params")
    assert (settings.model_stage, settings.service_port, settings.challenger_version) == ("Staging", 9001, None)
    assert (settings.mlflow_model_name, settings.experiment_name) == ("from-params", "from-params-serving")


def test_unknown_settings_are_reported_with_the_closest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERVICE_API_KYE", "x")
    assert unknown_settings() == ["SERVICE_API_KYE (did you mean SERVICE_API_KEY?)"]
    (tmp_path / ".env").write_bytes(b"SERVICE_PORT=80\xff")
    with pytest.raises(PipelineError, match=r"\.env cannot be read"):
        load_settings(None)
