"""The servers of deploy/ on loopback: PostgreSQL, an S3 API, and an MLflow server that uses both."""

import ctypes
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
import yaml

from support.repositories import ROOT

DEPLOY = ROOT / "deploy"
# Finds the commands of this environment first.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
S3_CLIENT = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
START_TIMEOUT = 180  # seconds
PR_SET_PDEATHSIG = 1  # option of Linux's prctl


@dataclass(frozen=True)
class Server:
    """An MLflow server and the services behind it."""

    address: str
    admin: dict[str, str]
    s3: str
    database: dict[str, str]
    folder: Path

    def as_user(self, name: str, password: str) -> dict[str, str]:
        """Return the environment of a client: only what a user of any MLflow server sets."""
        return {
            "MLFLOW_TRACKING_URI": self.address,
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": password,
        }


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """Run the MLflow server of deploy/ until the block ends; `folder` gets the logs."""
    with s3_api(folder) as s3, postgres(folder) as database:
        environment = compose_environment("mlflow") | database | S3_CLIENT
        environment |= {
            "MLFLOW_S3_ENDPOINT_URL": s3,
            "MLFLOW_AUTH_CONFIG_PATH": str(DEPLOY / "mlflow" / "basic_auth.ini"),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves eight processes that no test needs
        }
        create_buckets(s3, environment)
        port = free_port()
        command = compose_command("mlflow", {"--host": "127.0.0.1", "--port": str(port), "--workers": "1"})
        address = f"http://127.0.0.1:{port}"
        (folder / "empty").mkdir()
        with run_server(
            command, folder / "mlflow.log", lambda: is_reachable(f"{address}/health"), environment, folder / "empty"
        ):
            admin = {name: environment[f"MLFLOW_AUTH_ADMIN_{name}"] for name in ("USERNAME", "PASSWORD")}
            yield Server(address, admin, s3, database, folder)


@contextmanager
def postgres(folder: Path) -> Iterator[dict[str, str]]:
    """Run a PostgreSQL server with an empty database and yield the PG* variables of a client."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql")
    user = unprivileged_user()
    password = secrets.token_hex(16)
    # Outside pytest's folder, which only its own user may enter; short, because socket paths are limited.
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        place = Path(name)
        (place / "password").write_text(password)
        for path in (place, place / "password"):
            shutil.chown(path, user)
        options = ["--username=mlflow", f"--pwfile={place / 'password'}", "--auth=scram-sha-256", "--no-sync"]
        subprocess.run(
            [programs / "initdb", f"--pgdata={place / 'data'}", "--encoding=UTF8", "--locale=C", *options],
            **as_user(user),
            cwd=place,
            check=True,
            capture_output=True,
        )
        port = free_port()
        connection = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "PGUSER": "mlflow",
            "PGPASSWORD": password,
            "PGDATABASE": "mlflow",
        }
        environment = os.environ | connection
        command = [programs / "postgres", "-D", place / "data", "-k", place, "-h", "127.0.0.1", "-p", port]
        command += ["-c", "fsync=off", "-c", "full_page_writes=off"]

        def ready() -> bool:
            done = subprocess.run([programs / "pg_isready", "--quiet"], env=environment, check=False)
            return done.returncode == 0

        with run_server(command, folder / "postgres.log", ready, {}, place, signal.SIGINT, user):
            subprocess.run([programs / "createdb", "mlflow"], env=environment, check=True)
            yield connection


@contextmanager
def s3_api(folder: Path) -> Iterator[str]:
    """Run an empty moto server and yield its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", port]
    with run_server(command, folder / "s3.log", lambda: is_reachable(f"{address}/moto-api/"), {}, folder):
        yield address


def create_buckets(s3: str, environment: Mapping[str, str]) -> None:
    """Create the buckets with the command of deploy/."""
    command = compose_command("buckets", {})
    subprocess.run(command, env=os.environ | dict(environment) | {"MLFLOW_S3_ENDPOINT_URL": s3}, check=True)


def s3_client(s3: str) -> Any:
    """Return a boto3 client for the S3 API at an address."""
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=s3, **keys)


def compose_service(name: str) -> dict[str, Any]:
    """Return a service of deploy/docker-compose.yml."""
    service: dict[str, Any] = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())["services"][name]
    return service


def compose_environment(name: str) -> dict[str, str]:
    """Return a service's environment, with a random secret for every required variable."""
    filled = {}
    for key, value in compose_service(name)["environment"].items():
        if value is None:  # passed through from .env only if it is set there
            continue
        required = re.sub(r"\$\{\w+:\?[^}]*\}", secrets.token_hex(16), str(value))
        filled[key] = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", required)
    return filled


def compose_command(name: str, options: Mapping[str, str]) -> list[str]:
    """Return a service's command with some options replaced and with the files of deploy/."""
    command = [
        str(argument).replace("/opt/mlflow", str(DEPLOY / "mlflow")) for argument in compose_service(name)["command"]
    ]
    for option, value in options.items():
        index = next(index for index, argument in enumerate(command) if argument.startswith(f"{option}="))
        command[index] = f"{option}={value}"
    return [str(Path(sys.executable).parent / command[0]), *command[1:]]


@contextmanager
def run_server(
    command: list[Any],
    log: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str],
    folder: Path,
    stop: signal.Signals = signal.SIGTERM,
    user: str | None = None,
) -> Iterator[None]:
    """Run a server: enter the block when it is ready, stop it at the end or when this process is killed."""
    with log.open("w") as file:
        server = subprocess.Popen(
            [str(argument) for argument in command],
            cwd=folder,
            env=os.environ | {"PATH": PATH} | dict(environment),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
            **as_user(user),
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not ready():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        server.send_signal(stop)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def as_user(name: str | None) -> dict[str, Any]:
    """Return the `subprocess` arguments that run a program as another user."""
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []} if name else {}


def unprivileged_user() -> str | None:
    """Return a user for PostgreSQL, which does not run as root, or None if this process is not root's."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def postgres_programs() -> Path | None:
    """Return the folder of the PostgreSQL programs: the newest Debian package, then PATH; None if there is none."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if debian:
        return debian[-1].parent
    program = shutil.which("initdb")
    return Path(program).resolve().parent if program else None


def is_reachable(address: str) -> bool:
    """Return whether a server responds with success."""
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False


def free_port() -> int:
    """Return an unused loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
