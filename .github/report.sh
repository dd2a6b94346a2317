#!/usr/bin/env bash
# Report what changed since a commit, after `dvc repro`: .github/report.sh COMMIT FOLDER
# writes FOLDER/report.md (metrics, parameters, plots of the winning run) and FOLDER/plots/index.html (dvc plots diff).
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$1 folder=$2
export PATH=$PWD/.venv/bin:$PATH
export MLFLOW_TRACKING_URI=${MLFLOW_TRACKING_URI:-sqlite:///$PWD/mlruns/mlflow.db}
export MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false
mkdir -p "$folder"

run=$(python -c 'import json; print(json.load(open("mlartifacts/training/best_model_info.json"))["mlflow_run_id"])')
pictures=(learning_curve.png predicted_vs_actual.png feature_importance.png)
for picture in "${pictures[@]}"; do
    mlflow artifacts download --run-id "$run" --artifact-path "$picture" --dst-path "$folder" >/dev/null
done
dvc plots diff "$commit" --out "$folder/plots" >/dev/null
{
    printf '## Metrics\n\n'
    dvc metrics diff --all --md "$commit"
    printf '\n## Parameters\n\n'
    dvc params diff --md "$commit"
    printf '\n## Plots of the winning run\n\n'
    printf '![](%s)\n' "${pictures[@]}"
} >"$folder/report.md"
