"""Describe the GPU of this machine."""

import os
import subprocess

QUERY = {"name": "name", "driver": "driver_version", "memory": "memory.total"}  # by the names of nvidia-smi
TIMEOUT = 30  # seconds; nvidia-smi starts the driver if no other program uses it


def gpu_description() -> dict[str, str]:
    """Return name, driver and memory of the first GPU that programs may use.

    Returns
    -------
    dict of str to str
        The keys ``name``, ``driver`` and ``memory``, such as "NVIDIA H100 80GB HBM3", "570.86.15" and "81559 MiB";
        empty if nvidia-smi is not installed or reports no GPU.
    """
    command = ["nvidia-smi", f"--query-gpu={','.join(QUERY.values())}", "--format=csv,noheader"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        command.append(f"--id={visible.partition(',')[0]}")
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in result.stdout.partition("\n")[0].split(",")]
    return dict(zip(QUERY, values, strict=True)) if len(values) == len(QUERY) else {}
