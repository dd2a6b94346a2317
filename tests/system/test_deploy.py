"""deploy/: checks that need no container images."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from pipeline.learn.families import names
from pipeline.service.settings import Settings
from pipeline.service.tracking.prometheus import Prometheus
from support.repositories import ROOT, pins
from support.servers import DEPLOY, compose_environment, compose_service

COMPOSE = DEPLOY / "docker-compose.yml"
SECRETS = {
    "POSTGRES_PASSWORD",
    "S3_ACCESS_KEY_ID",
    "S3_SECRET_ACCESS_KEY",
    "MLFLOW_ADMIN_PASSWORD",
    "MLFLOW_SECRET_KEY",
    "SERVICE_API_KEY",
    "SERVICE_MLFLOW_PASSWORD",
}
BUILT = ("mlflow", "service")  # images built from this project
OPTIONAL_PACKAGES = {"cupy"}  # used only where they are installed


def example() -> dict[str, str]:
    """Return the variables of .env.example."""
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose() -> list[str]:
    """Return the command of Docker Compose, version 1 or 2."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if shutil.which("docker"):
        done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if done.returncode == 0:
            return ["docker", "compose"]
    pytest.skip("no Docker Compose on this machine: apt-get install docker-compose")


def config(folder: Path, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run `docker compose config` on a copy of deploy/ with only these variables in .env."""
    copy = shutil.copytree(DEPLOY, folder, dirs_exist_ok=True)
    (copy / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(
        [*compose(), "--profile", "service", "config"],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_env_example_has_every_variable_and_empty_secrets() -> None:
    used = re.findall(r"(?<!\$)\$\{(\w+)(:[?-])", COMPOSE.read_text())
    assert {name for name, _ in used} | {"COMPOSE_PROJECT_NAME"} == set(example())
    assert {name for name, sign in used if sign == ":?"} == SECRETS
    assert {name for name, value in example().items() if not value} == SECRETS
    assert ".env" in (DEPLOY / ".gitignore").read_text().split()


def test_services_are_pinned_ordered_by_health_and_published_on_loopback() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name, service in services.items():
        assert re.search(r":\d+\.\d+(\.\d+)?$", service["image"]), name
        assert all(port.startswith("${PUBLISH_ADDRESS:-127.0.0.1}:") for port in service.get("ports", []))
        for other, condition in service.get("depends_on", {}).items():
            ends = condition["condition"] == "service_completed_successfully"
            assert ends or (condition["condition"] == "service_healthy" and "healthcheck" in services[other])
    assert "ports" not in services["postgres"]
    for name in BUILT:
        dockerfile = (DEPLOY / name / "Dockerfile").read_text()
        assert "--require-hashes" in dockerfile
        assert dockerfile.rindex(f"\nUSER {name}") > dockerfile.rindex("\nRUN ")
        assert services[name]["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("image", BUILT)
def test_image_packages_match_the_project(image: str) -> None:
    requirements = pins((DEPLOY / image / "requirements.txt").read_text())
    locked = pins((DEPLOY / image / "requirements.lock").read_text())
    project_lock = (ROOT / "requirements.lock").read_text()
    if image == "mlflow":
        assert {"mlflow", "psycopg2-binary", "boto3", "flask-wtf"} == set(requirements)
        assert compose_service("mlflow")["image"].endswith(f":{requirements['mlflow']}")
    else:
        assert requirements.items() <= pins((ROOT / "requirements.txt").read_text()).items()
    assert requirements.items() <= locked.items()
    assert [name for name, version in locked.items() if f"\n{name}=={version} " not in f"\n{project_lock}"] == []


def imported_packages(start: str) -> set[str]:
    """Return the third-party packages that a module of src/ imports, directly or through other modules of src/."""
    waiting, seen, packages = [start, *(f"pipeline.learn.families.{name}" for name in names())], set(), set()
    while waiting:
        name = waiting.pop()
        path = ROOT / "src" / name.replace(".", "/")
        file = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)
        if file is None or file in seen:  # a name inside a module that is in the list too
            continue
        seen.add(file)
        text = re.sub(r"\nif TYPE_CHECKING:\n(    .*\n|\n)+", "\n", file.read_text())
        packages |= set(re.findall(r'\bfiles\("(\w+)"\)', text))  # packages whose data files the service serves
        for node in ast.walk(ast.parse(text)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            waiting += modules
            packages |= {module.partition(".")[0] for module in modules}
    return packages - sys.stdlib_module_names - {"pipeline", *OPTIONAL_PACKAGES}


def test_service_image_has_every_imported_package() -> None:
    locked = {name.lower() for name in pins((DEPLOY / "service" / "requirements.lock").read_text())}
    distributions_of = packages_distributions()
    required = {
        name: {re.sub("[_.]", "-", distribution).lower() for distribution in distributions_of[name]}
        for name in imported_packages("serve")
    }
    assert {"fastapi", "mlflow", "shap", "onnxruntime"} <= set(required)
    assert {name for name, distributions in required.items() if not distributions & locked} == set()
    context = (DEPLOY / "service" / "Dockerfile.dockerignore").read_text().split()
    sources = re.findall(r"^COPY (\S+) ", (DEPLOY / "service" / "Dockerfile").read_text(), re.MULTILINE)
    assert [name for name in context if name.startswith("!")] == [f"!{name}" for name in reversed(sources)]
    assert context[0] == "*"


def test_service_environment_has_only_known_settings() -> None:
    service = compose_service("service")
    environment = service["environment"]
    mlflow_variables = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_DISABLE_TELEMETRY", "HOME"}
    known = {name.upper() for name in Settings.model_fields}
    assert set(environment) - mlflow_variables <= known
    assert {"MLFLOW_TRACKING_URI", "ENABLE_MODEL_REGISTRY", "SERVICE_HOST", "SERVICE_API_KEY"} <= set(environment)
    defaults = Settings.model_fields
    assert service["ports"][0].endswith(f":8080:{defaults['service_port'].default}")
    (volume,) = service["volumes"]
    assert volume.endswith(f":/opt/pipeline/{defaults['service_predictions'].default}")
    assert service["read_only"] is True
    # The MLflow server rejects requests for a host name that is not listed.
    host = urlsplit(environment["MLFLOW_TRACKING_URI"]).netloc
    assert compose_environment("mlflow")["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")[-1] == host


def test_alerts_use_metrics_of_the_service() -> None:
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = scraped["scrape_configs"]
    assert scraped["rule_files"] == ["alerts.yml"]
    (group,) = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    state = {"queued_rows": 0, "written_rows": 0, "dropped_rows": 0}
    tracking = {"state": "ok", "queued_points": 0, "dropped_points": 0}
    text = Prometheus().exposition(state, tracking, {}, {"production": {"detected": False}}).decode()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    series = {name + end for name, kind in kinds.items() for end in (["_bucket"] if kind == "histogram" else [""])}
    used = [re.findall(r"\b(?:prediction_\w+|up\b)", rule["expr"]) for rule in group["rules"]]
    assert all(used)
    assert {name for names in used for name in names} <= series | {"up"}
    assert f'job="{job["job_name"]}"' in group["rules"][0]["expr"]


def test_compose_accepts_the_file_and_rejects_an_empty_secret(tmp_path: Path) -> None:
    filled = {name: value or "0123456789abcdef" for name, value in example().items()}
    accepted = config(tmp_path / "filled", filled)
    assert accepted.returncode == 0, accepted.stderr
    assert {"postgres", "s3", "buckets", "mlflow", "service"} == set(yaml.safe_load(accepted.stdout)["services"])
    for name in SECRETS:
        refused = config(tmp_path / name, filled | {name: ""})
        assert refused.returncode != 0, name
        assert "set it in .env" in refused.stderr


def test_s3_store_gets_its_keys(tmp_path: Path) -> None:
    """Run the shell command of service s3 with a stub of SeaweedFS that prints its configuration."""
    (program,) = compose_service("s3")["command"]
    stub = tmp_path / "weed"
    stub.write_text(f"#!/bin/sh\ncat {tmp_path}/s3.json\n")
    stub.chmod(0o755)
    script = program.replace("$$", "$").replace("/tmp/s3.json", f"{tmp_path}/s3.json")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "S3_ACCESS_KEY_ID": "id", "S3_SECRET_ACCESS_KEY": "key"}
    done = subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    (identity,) = json.loads(done.stdout)["identities"]
    assert identity["credentials"] == [{"accessKey": "id", "secretKey": "key"}]
    assert (tmp_path / "s3.json").stat().st_mode & 0o777 == 0o600
