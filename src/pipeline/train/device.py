"""Choose the device of a training, and report a GPU that is missing or full."""

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import PipelineError
from pipeline.learn.families import family
from pipeline.params.schema import Params
from pipeline.support.gpu import gpu_description
from pipeline.support.progress import progress

OUT_OF_MEMORY = re.compile("bad_alloc|out of memory|memory allocation error|cudaErrorMemoryAllocation", re.IGNORECASE)
GPU_LIBRARIES = ("xgboost", "cupy")


def resolve_device(params: Params) -> Params:
    """Return the parameters with ``cpu`` or ``cuda`` as the device of the training, and report a choice.

    Raises
    ------
    PipelineError
        When the device is ``cuda`` and XGBoost cannot use a GPU here.
    """
    device = params.train.device
    if device == "cpu":
        return params
    if not any(family(name).uses_gpu for name in params.train.models):
        problem: str | None = f"{' and '.join(params.train.models)} cannot use a GPU"
    else:
        problem = gpu_problem()
        if problem and device == "cuda":
            raise PipelineError(
                f"train.device in params.yaml is cuda, but {problem}",
                "train on a machine whose nvidia-smi lists a GPU, with the xgboost of requirements.txt, or set "
                "train.device: cpu",
            )
    if problem:
        progress(f"model_train: training on the CPU, because {problem} (train.device: {device})")
    else:
        gpu = gpu_description()
        details = f": {gpu['name']}, {gpu['memory']}, driver {gpu['driver']}" if gpu else ""
        progress(f"model_train: training on the GPU{details} (train.device: {device})")
    train = params.train.model_copy(update={"device": "cpu" if problem else "cuda"})
    return params.model_copy(update={"train": train})


def gpu_problem() -> str | None:
    """Return why XGBoost cannot train on a GPU here, or None if it can."""
    import numpy as np
    from xgboost import Booster, DMatrix, build_info

    if not build_info()["USE_CUDA"]:
        return "the installed XGBoost is built without CUDA"
    data = DMatrix(np.zeros((1, 1), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XGBoost falls back to the CPU with a warning
        config = json.loads(Booster({"device": "cuda"}, [data]).save_config())
    uses_gpu = config["learner"]["generic_param"]["device"].startswith("cuda")
    return None if uses_gpu else "XGBoost finds no GPU with a working driver"


@contextmanager
def gpu_memory_errors(device: str) -> Iterator[None]:
    """Replace the error of a library that a GPU's memory is full by one that says what to do.

    Raises
    ------
    PipelineError
        When a fit, prediction or explanation within the block needs more memory than the GPU has.
    """
    try:
        yield
    except Exception as error:
        from_library = type(error).__module__.startswith(GPU_LIBRARIES)
        if device == "cpu" or not (from_library and OUT_OF_MEMORY.search(str(error))):
            raise
        raise PipelineError(
            "the memory of the GPU is full",
            "end other programs that use it (nvidia-smi lists them), lower train.search.max_rows or train.n_jobs (fits "
            "at a time) in params.yaml, or set train.device: cpu, where train.external_memory keeps features on disk",
        ) from error
