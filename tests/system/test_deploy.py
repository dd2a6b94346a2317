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
from typing import Any
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
IMAGES = {"mlflow": ["mlflow"], "service": ["service"], "dask": ["scheduler", "worker"]}  # built; with their services
KUBERNETES = DEPLOY / "kubernetes"
PROFILES = ("service", "cluster")
OPTIONAL_PACKAGES = {"cupy", "lightgbm"}  # used only where they are installed


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
        [*compose(), *(f"--profile={name}" for name in PROFILES), "config"],
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
    assert not any("ports" in services[name] for name in ("postgres", "scheduler", "worker"))
    for image, service_names in IMAGES.items():
        dockerfile = (DEPLOY / image / "Dockerfile").read_text()
        assert "--require-hashes" in dockerfile
        assert dockerfile.rindex(f"\nUSER {image}") > dockerfile.rindex("\nRUN ")
        assert all(services[name]["cap_drop"] == ["ALL"] for name in service_names)


@pytest.mark.parametrize("image", ["mlflow", "service"])
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


def not_installed(packages: set[str], lock: Path) -> set[str]:
    """Return the packages that a lock does not install."""
    locked = {name.lower() for name in pins(lock.read_text())}
    distributions_of = packages_distributions()
    return {
        package
        for package in packages
        if not locked & {re.sub("[_.]", "-", name).lower() for name in distributions_of[package]}
    }


def test_service_image_has_every_imported_package() -> None:
    required = imported_packages("serve")
    assert {"fastapi", "mlflow", "shap", "onnxruntime"} <= required
    assert not_installed(required, DEPLOY / "service" / "requirements.lock") == set()


@pytest.mark.parametrize("image", ["service", "dask"])
def test_build_context_has_only_the_files_that_are_copied(image: str) -> None:
    context = (DEPLOY / image / "Dockerfile.dockerignore").read_text().split()
    sources = re.findall(r"^COPY (\S+) ", (DEPLOY / image / "Dockerfile").read_text(), re.MULTILINE)
    assert [name for name in context if name.startswith("!")] == [f"!{name}" for name in reversed(sources)]
    assert context[0] == "*"


def test_dask_image_has_every_imported_package() -> None:
    required = set().union(*map(imported_packages, ("prepare", "model_train", "model_register")))
    assert {"distributed", "mlflow", "xgboost"} <= required
    assert not_installed(required, ROOT / "requirements.lock") == set()


def test_workers_share_the_repository_with_the_pipeline() -> None:
    scheduler, worker = compose_service("scheduler"), compose_service("worker")
    version = pins((ROOT / "requirements.txt").read_text())["distributed"]
    assert scheduler["image"] == worker["image"] == f"pipeline-dask:{version}"
    assert f"..:{worker['working_dir']}" in worker["volumes"]  # `docker compose run worker dvc repro`
    assert "/tmp" in worker["volumes"]
    address = urlsplit(worker["environment"]["DASK_SCHEDULER_ADDRESS"])
    assert address.hostname == "scheduler"
    assert f"--port={address.port}" in scheduler["command"]


def manifests() -> dict[str, dict[str, Any]]:
    """Return the objects of deploy/kubernetes by kind."""
    found = [each for path in KUBERNETES.glob("*.yaml") for each in yaml.safe_load_all(path.read_text())]
    return {each["kind"]: each for each in found}


def pods() -> dict[str, dict[str, Any]]:
    """Return the specifications of the pods of deploy/kubernetes by the name of their container."""
    objects = manifests()
    cluster, job = objects["DaskCluster"]["spec"], objects["Job"]["spec"]
    found = [cluster["scheduler"]["spec"], cluster["worker"]["spec"], job["template"]["spec"]]
    return {each["containers"][0]["name"]: each for each in found}


@pytest.mark.parametrize("name", ["scheduler", "worker", "train"])
def test_pods_meet_the_restricted_standard(name: str) -> None:
    pod = pods()[name]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"--uid {pod['securityContext']['runAsUser']} " in (DEPLOY / "dask" / "Dockerfile").read_text()
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} == set(container["resources"]["limits"])
    assert container["image"].endswith(f"/{compose_service('worker')['image']}")
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_pods_share_a_volume_under_the_same_path_and_find_the_scheduler() -> None:
    objects, (worker, train) = manifests(), (pods()[name] for name in ("worker", "train"))
    claim = objects["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    shared = {"name": "shared", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
    assert shared in worker["volumes"]
    assert shared in train["volumes"]
    (mount,) = [each for each in worker["containers"][0]["volumeMounts"] if each["name"] == "shared"]
    assert mount in train["containers"][0]["volumeMounts"]
    assert train["containers"][0]["workingDir"].startswith(mount["mountPath"])
    cluster = objects["DaskCluster"]
    service, name = cluster["spec"]["scheduler"]["service"], cluster["metadata"]["name"]
    assert service["selector"] == {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    environment = {each["name"]: each["value"] for each in train["containers"][0]["env"]}
    assert environment["DASK_SCHEDULER_ADDRESS"] == f"tcp://{name}-scheduler:{service['ports'][0]['port']}"


def test_network_policy_selects_every_pod() -> None:
    objects = manifests()
    policy, job = objects["NetworkPolicy"]["spec"], objects["Job"]
    labels = policy["podSelector"]["matchLabels"]
    assert policy["ingress"][0]["from"] == [{"podSelector": {"matchLabels": labels}}]
    assert labels == objects["DaskCluster"]["metadata"]["labels"] == job["spec"]["template"]["metadata"]["labels"]
    ports = [each["port"] for each in objects["DaskCluster"]["spec"]["scheduler"]["service"]["ports"]]
    assert [each["port"] for each in policy["ingress"][1]["ports"]] == ports


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
    services = {"postgres", "s3", "buckets", "mlflow", "service", "scheduler", "worker"}
    assert services == set(yaml.safe_load(accepted.stdout)["services"])
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
