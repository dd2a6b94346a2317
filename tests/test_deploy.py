"""deploy/: what can be told of it without pulling images."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from servers import DEPLOY, compose_service
from test_locked import pins

COMPOSE = DEPLOY / "docker-compose.yml"
SECRETS = {
    "POSTGRES_PASSWORD",
    "S3_ACCESS_KEY_ID",
    "S3_SECRET_ACCESS_KEY",
    "MLFLOW_ADMIN_PASSWORD",
    "MLFLOW_SECRET_KEY",
}


def example() -> dict[str, str]:
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose() -> list[str]:
    """Return Docker Compose's command, of either generation."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if shutil.which("docker"):
        done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if done.returncode == 0:
            return ["docker", "compose"]
    pytest.skip("no Docker Compose on this machine: apt-get install docker-compose")


def config(folder: Path, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run `docker compose config` on a copy of deploy/ with an .env of these variables and nothing else."""
    copy = shutil.copytree(DEPLOY, folder, dirs_exist_ok=True)
    (copy / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(
        [*compose(), "config"], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )


def test_every_variable_is_in_the_example_and_secrets_are_empty_there() -> None:
    used = re.findall(r"(?<!\$)\$\{(\w+)(:[?-])", COMPOSE.read_text())
    assert {name for name, _ in used} | {"COMPOSE_PROJECT_NAME"} == set(example())
    assert {name for name, sign in used if sign == ":?"} == SECRETS
    assert {name for name, value in example().items() if not value} == SECRETS
    assert ".env" in (DEPLOY / ".gitignore").read_text().split()


def test_services_are_pinned_healthy_before_others_and_published_on_loopback_only() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name, service in services.items():
        assert re.search(r":\d+\.\d+(\.\d+)?$", service["image"]), name
        assert all(port.startswith("${PUBLISH_ADDRESS:-127.0.0.1}:") for port in service.get("ports", []))
        for other, condition in service.get("depends_on", {}).items():
            ends = condition["condition"] == "service_completed_successfully"
            assert ends or (condition["condition"] == "service_healthy" and "healthcheck" in services[other])
    assert "ports" not in services["postgres"]
    dockerfile = (DEPLOY / "mlflow" / "Dockerfile").read_text()
    assert "--require-hashes" in dockerfile
    assert dockerfile.rindex("\nUSER mlflow") > dockerfile.rindex("\nRUN ")


def test_the_image_has_the_packages_of_the_project() -> None:
    asked = pins((DEPLOY / "mlflow" / "requirements.txt").read_text())
    locked = pins((DEPLOY / "mlflow" / "requirements.lock").read_text())
    everything = (DEPLOY.parent / "requirements.lock").read_text()
    assert {"mlflow", "psycopg2-binary", "boto3", "flask-wtf"} == set(asked)
    assert asked.items() <= locked.items()
    assert [name for name, version in locked.items() if f"\n{name}=={version} " not in f"\n{everything}"] == []
    assert compose_service("mlflow")["image"].endswith(f":{asked['mlflow']}")


def test_compose_accepts_the_file_and_refuses_an_empty_secret(tmp_path: Path) -> None:
    filled = {name: value or "0123456789abcdef" for name, value in example().items()}
    accepted = config(tmp_path / "filled", filled)
    assert accepted.returncode == 0, accepted.stderr
    assert {"postgres", "s3", "buckets", "mlflow"} == set(yaml.safe_load(accepted.stdout)["services"])
    for name in SECRETS:
        refused = config(tmp_path / name, filled | {name: ""})
        assert refused.returncode != 0, name
        assert "set it in .env" in refused.stderr


def test_the_s3_store_is_told_its_keys(tmp_path: Path) -> None:
    """Run the shell of service s3 with a program that stands where SeaweedFS' would and shows what it was given."""
    (program,) = compose_service("s3")["command"]
    shown = tmp_path / "weed"
    shown.write_text(f"#!/bin/sh\ncat {tmp_path}/s3.json\n")
    shown.chmod(0o755)
    script = program.replace("$$", "$").replace("/tmp/s3.json", f"{tmp_path}/s3.json")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "S3_ACCESS_KEY_ID": "id", "S3_SECRET_ACCESS_KEY": "key"}
    done = subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    (identity,) = json.loads(done.stdout)["identities"]
    assert identity["credentials"] == [{"accessKey": "id", "secretKey": "key"}]
    assert (tmp_path / "s3.json").stat().st_mode & 0o777 == 0o600
