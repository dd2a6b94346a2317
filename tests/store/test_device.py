"""The device of a training: how it is chosen, what a run records of it, and what a missing or full GPU leads to."""

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from xgboost.core import XGBoostError

from pipeline.errors import PipelineError
from pipeline.params.load import load_params
from pipeline.params.schema import Params
from pipeline.store.open import logged_model_id, open_store
from pipeline.support.gpu import gpu_description
from pipeline.train.device import gpu_memory_errors, resolve_device
from pipeline.train.experiments import Plan, run_experiment
from support.repositories import change_params
from support.standard import open_setup

# What XGBoost 3.2 says; see ThrowOOMError in its sources.
OUT_OF_MEMORY = """[12:00:00] /src/common/device_vector.cu:23: Memory allocation error on worker 0: std::bad_alloc:
cudaErrorMemoryAllocation: out of memory
- Free memory: 12MB
- Requested memory: 74.5GB"""


def install_nvidia_smi(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a shell script called nvidia-smi into PATH."""
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n{code}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def params_with(device: str, **train: object) -> Params:
    params = load_params()
    return params.model_copy(update={"train": params.train.model_copy(update={"device": device, **train})})


def test_description_is_that_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install_nvidia_smi(
        tmp_path, 'echo "NVIDIA H100 80GB HBM3, 570.86.15, 81559 MiB"; echo "$@" >arguments', monkeypatch
    )
    monkeypatch.chdir(tmp_path)
    assert gpu_description() == {"name": "NVIDIA H100 80GB HBM3", "driver": "570.86.15", "memory": "81559 MiB"}
    query = "--query-gpu=name,driver_version,memory.total --format=csv,noheader"
    assert Path("arguments").read_text() == f"{query}\n"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    gpu_description()
    assert Path("arguments").read_text() == f"{query} --id=2\n"


@pytest.mark.parametrize("code", ["echo 'No devices were found'", "exit 9", "kill -9 $$", "true"])
def test_there_is_no_description_if_nvidia_smi_fails(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_nvidia_smi(tmp_path, code, monkeypatch)
    assert gpu_description() == {}


def test_there_is_no_description_without_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_description() == {}


def test_cpu_is_the_default_and_not_reported(pipeline_folder: Path, progress_lines: list[str]) -> None:
    params = load_params()
    assert params.train.device == "cpu"
    assert resolve_device(params) is params
    assert progress_lines == []


@pytest.mark.usefixtures("_without_gpu")
def test_auto_without_a_gpu_is_the_cpu_and_says_so(
    pipeline_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, progress_lines: list[str]
) -> None:
    install_nvidia_smi(tmp_path, 'echo "NVIDIA H100 80GB HBM3, 450.1, 81559 MiB"', monkeypatch)  # with an old driver
    assert resolve_device(params_with("auto")).train.device == "cpu"
    assert progress_lines == [
        "model_train: training on the CPU, because XGBoost finds no GPU with a working driver (train.device: auto)"
    ]


@pytest.mark.usefixtures("_without_gpu")
def test_cuda_without_a_gpu_is_an_error_before_tables_are_read(
    pipeline_folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    change_params(pipeline_folder, train={"device": "cuda"})
    assert call("model_train") == 2  # the tables of stage prepare do not exist
    assert capsys.readouterr().err == (
        "error: train.device in params.yaml is cuda, but XGBoost finds no GPU with a working driver\n"
        "  -> train on a machine whose nvidia-smi lists a GPU, with the xgboost of requirements.txt, or set "
        "train.device: cpu\n"
    )


def test_families_that_cannot_use_a_gpu_ignore_the_device(pipeline_folder: Path, progress_lines: list[str]) -> None:
    params = resolve_device(params_with("cuda", models=["nn", "random_forest"]))
    assert params.train.device == "cpu"
    assert progress_lines == [
        "model_train: training on the CPU, because nn and random_forest cannot use a GPU (train.device: cuda)"
    ]
    assert params_with("cuda").train.device_of("random_forest") == "cpu"


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_gpu_is_named_in_the_first_line(device: str, pipeline_folder: Path, progress_lines: list[str]) -> None:
    assert resolve_device(params_with(device)).train.device == "cuda"
    (line,) = progress_lines
    assert line.startswith("model_train: training on the GPU: NVIDIA ")
    assert gpu_description()["name"] in line


@pytest.mark.usefixtures("_without_figures")
@pytest.mark.filterwarnings("ignore:.*(No visible GPU|Device is changed)")  # XGBoost then uses the CPU
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_run_says_where_it_was_trained_and_its_model_uses_the_cpu(
    device: str, pipeline_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_nvidia_smi(tmp_path, 'echo "NVIDIA H100 80GB HBM3, 570.86.15, 81559 MiB"', monkeypatch)
    params = params_with(device)
    _, setup = open_setup(pipeline_folder, params)
    experiment = run_experiment(setup, Plan("xgboost", "exp1_tuned", setup.data.features))

    run = open_store().get_run(experiment.run_id)
    gpu = {"name": "NVIDIA H100 80GB HBM3", "driver": "570.86.15", "memory": "81559 MiB"} if device == "cuda" else {}
    assert {name for name in run.data.tags if name.startswith("gpu_")} == {f"gpu_{key}" for key in gpu}
    assert {name: run.data.tags[f"gpu_{name}"] for name in gpu} == gpu
    environment = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/environment.json")
    assert environment.get("gpu", {}) == gpu
    assert (run.data.tags["device"], run.data.params["train.device"], run.data.params["device"]) == (device,) * 3
    assert int(run.data.params["shap_rows"]) == 30  # all test rows

    model = mlflow.xgboost.load_model(f"models:/{logged_model_id(run)}")
    assert '"device":"cpu"' in model.get_booster().save_config()
    assert model.get_params()["device"] in (None, "cpu")
    fitted = experiment.fitted.model
    assert '"device":"cpu"' in fitted.get_booster().save_config()
    assert fitted.get_params()["device"] == "cpu"
    assert model.get_booster().save_raw() == fitted.get_booster().save_raw()


@pytest.mark.gpu
@pytest.mark.usefixtures("_without_figures")
def test_gpu_gives_the_same_model_again(pipeline_folder: Path) -> None:
    params = params_with("cuda")
    _, setup = open_setup(pipeline_folder, params)
    plan = Plan("xgboost", "exp1_tuned", setup.data.features)
    first, second = (run_experiment(setup, replace(plan, run_name=name)) for name in ("exp1_tuned", "again"))
    assert first.model_sha256 == second.model_sha256
    assert first.fitted.metrics == second.fitted.metrics


def test_full_gpu_is_reported_with_what_to_lower() -> None:
    with pytest.raises(PipelineError) as raised, gpu_memory_errors("cuda"):
        raise XGBoostError(OUT_OF_MEMORY)
    assert raised.value.problem == "the memory of the GPU is full"
    assert "train.search.max_rows" in raised.value.remedy
    assert "train.device: cpu" in raised.value.remedy


@pytest.mark.parametrize(
    ("device", "error"),
    [("cpu", XGBoostError("std::bad_alloc")), ("cuda", XGBoostError("a bug")), ("cuda", OSError("out of memory"))],
)
def test_other_errors_stay_as_they_are(device: str, error: Exception) -> None:
    with pytest.raises(type(error)) as raised, gpu_memory_errors(device):
        raise error
    assert raised.value is error
