"""Stage 3, model_register: a run becomes a version of the registered model, with a stage; Production is exported."""

import os
from pathlib import Path
from typing import Any

from pipeline.files import write_json
from pipeline.params import RegisterParams, Stage
from pipeline.paths import REGISTERED_MODEL
from pipeline.register.candidate import find_candidate
from pipeline.register.export import export_version, point_latest_at
from pipeline.register.package import package
from pipeline.register.versions import EXCLUSIVE, remove_version, set_stage, tag_version, version_of
from pipeline.tracking import open_store


def register(
    params: RegisterParams, folder: Path, stage: Stage | None = None, run_id: str | None = None
) -> dict[str, Any]:
    """Register a run's logged model and give its version a stage.

    Parameters
    ----------
    params : RegisterParams
        The section ``register`` of params.yaml.
    folder : Path
        The pipeline folder.
    stage : str, optional
        The stage to give. When absent, ``register.stage``; a version that is in Production already then stays
        there, so that running the pipeline again demotes nothing.
    run_id : str, optional
        The run to register; the winner of stage model_train when absent.

    Returns
    -------
    dict
        What is written to mlartifacts/registration/registered_model.json.

    Raises
    ------
    PipelineError
        When the run cannot be registered or exported; registry and exports are then as they were.
    """
    client = open_store()
    candidate = find_candidate(client, folder, run_id)
    version, created = version_of(client, params.model_name, candidate)
    print(
        f"model_register: run {candidate.run_id} {'is now' if created else 'was already'} "
        f"{version.name} version {version.version}"
    )
    tag_version(client, version, candidate)
    if stage is None and version.current_stage == "Production":
        print("model_register: it is in Production and stays there (--stage changes that)")
        wanted: Stage = "Production"
    else:
        wanted = stage or params.stage

    try:
        print(f"model_register: {package(client, candidate, folder)}")
        export = export_version(version, candidate, wanted, folder) if wanted == "Production" else None
    except BaseException:
        if created:
            remove_version(client, version)
        raise
    set_stage(client, version, wanted)
    if export:
        point_latest_at(export)
    registered = {
        "name": version.name,
        "version": int(version.version),
        "stage": wanted,
        "alias": wanted.lower() if wanted in EXCLUSIVE else None,
        "run_id": candidate.run_id,
        "model_id": candidate.model_id,
        "model_uri": f"models:/{version.name}/{version.version}",
        "metrics": candidate.metrics,
        **candidate.tags,
    }
    write_json(folder / REGISTERED_MODEL, registered)
    print(f"model_register: {version.name} version {version.version} has stage {wanted}")
    if export:
        print(f"model_register: exported to {os.path.relpath(export, folder)}; latest points there")
    return registered
