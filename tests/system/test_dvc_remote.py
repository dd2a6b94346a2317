"""Data in a DVC remote on S3: pushed from one clone, pulled into another and used there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.folders import make_table
from support.repositories import change_params, commit, copy_project, git, shell
from support.servers import S3_CLIENT, s3_api, s3_client

SECRET = "a-secret-of-s3"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of an S3 API with an empty bucket ``dvc``."""
    with s3_api(tmp_path_factory.mktemp("s3")) as address:
        s3_client(address).create_bucket(Bucket="dvc")
        yield address


def test_data_is_pushed_to_and_pulled_from_an_s3_remote(tmp_path: Path, s3: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    copy_project(here)
    make_table().to_csv(here / "data.csv", index=False)
    change_params(here, dataset={"path": "data.csv", "target": "price"}, features={})
    shell(here, "dvc", "add", "--quiet", "data.csv")
    shell(here, "dvc", "remote", "add", "--default", "storage", "s3://dvc/tables")
    shell(here, "dvc", "remote", "modify", "storage", "endpointurl", s3)
    for name, value in (("access_key_id", S3_CLIENT["AWS_ACCESS_KEY_ID"]), ("secret_access_key", SECRET)):
        shell(here, "dvc", "remote", "modify", "--local", "storage", name, value)
    shell(here, "dvc", "repro", "prepare")
    commit(here, "a table in the remote")
    committed = git(here, "ls-files").split()
    assert {"data.csv.dvc", ".dvc/config"} <= set(committed)
    assert {"data.csv", ".dvc/config.local"}.isdisjoint(committed)
    assert not [name for name in committed if SECRET in (here / name).read_text(errors="replace")]
    assert "pushed" in shell(here, "dvc", "push")
    stored = s3_client(s3).list_objects_v2(Bucket="dvc")["Contents"]
    assert {item["Key"].split("/")[0] for item in stored} == {"tables"}

    git(tmp_path, "clone", "--quiet", str(here), str(there))
    shutil.copy(here / ".dvc" / "config.local", there / ".dvc" / "config.local")
    assert not (there / "data.csv").exists()
    shell(there, "dvc", "pull")
    assert (there / "data.csv").read_bytes() == (here / "data.csv").read_bytes()
    shell(there, "dvc", "repro", "--force", "prepare")
    assert git(there, "status", "--porcelain") == ""  # the outputs match dvc.lock


@pytest.mark.parametrize("scheme", ["s3", "remote"])
def test_a_table_is_read_from_s3(tmp_path: Path, s3: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of parts is a dependency: a change of an object runs stage prepare again."""
    copy_project(tmp_path / "here")
    here, bucket = tmp_path / "here", s3_client(s3)
    table = make_table()
    for number, start in enumerate(range(0, len(table), 50)):
        content = table.iloc[start : start + 50].to_csv(index=False).encode()
        bucket.put_object(Bucket="dvc", Key=f"{scheme}/parts/{number}.csv", Body=content)
    shell(here, "dvc", "remote", "add", "--default", "storage", f"s3://dvc/{scheme}")
    for name, value in (
        ("endpointurl", s3),
        ("access_key_id", S3_CLIENT["AWS_ACCESS_KEY_ID"]),
        ("secret_access_key", SECRET),
    ):
        shell(here, "dvc", "remote", "modify", "--local", "storage", name, value)
    path = "remote://storage/parts" if scheme == "remote" else "s3://dvc/s3/parts"
    change_params(here, dataset={"path": path, "target": "price"}, features={})
    for name, value in {"AWS_ENDPOINT_URL": s3, **S3_CLIENT}.items():
        monkeypatch.setenv(name, value)
    assert f"{path}, {len(table)} rows" in shell(here, "dvc", "repro", "prepare")
    assert "didn't change" in shell(here, "dvc", "repro", "prepare")
    bucket.put_object(Bucket="dvc", Key=f"{scheme}/parts/0.csv", Body=table.head(40).to_csv(index=False).encode())
    assert f"{path}, {len(table) - 10} rows" in shell(here, "dvc", "repro", "prepare")
