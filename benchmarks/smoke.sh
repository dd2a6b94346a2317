#!/usr/bin/env bash
# Check that the benchmarks run: run each one once, at a small size, on the California housing table.
set -euo pipefail
cd "$(dirname "$0")/.."
project=$PWD
data=$(realpath "${1:-../shared/data/california_housing.csv}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH=$project/.venv/bin:$PATH

.venv/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
git clone --quiet . "$work/repository"
(
    cd "$work/repository"
    git config user.name Benchmark
    git config user.email benchmark@localhost
    dvc exp run -S dataset.path="$data" -S train.search.n_candidates=2 -S train.search.max_rounds=50
    python src/model_register.py --stage Production
)
head --lines 3001 "$data" >"$work/some_rows.csv"
python benchmarks/search.py --repeats 1 --data "$work/some_rows.csv"
python benchmarks/families.py --repeats 1 --tables breast_cancer
python benchmarks/busy.py --repeats 1 --loops 1 --trial
python benchmarks/tracking.py --repeats 1
python benchmarks/fixed_cost.py --repeats 1
python benchmarks/scale.py --repeats 1 --rows 2000 4000 --growth 2000 4000
python benchmarks/parts.py --repeats 1 --rows 20000
python benchmarks/cluster.py --repeats 1 --external-rows 20000 --limited-rows 20000 --rows 20000 --rounds 5 --many 2 --many-rows 20000
python benchmarks/gpu.py --repeats 1 --rows 13000 || [ $? = 2 ]  # 2: there is no GPU
mkdir "$work/tables"
head --lines 301 "$data" >"$work/tables/houses.csv"
echo '{"file": "houses.csv", "target": "median_house_value"}' >"$work/tables/tables.jsonl"
python benchmarks/tables.py --tables "$work/tables" --json "$work/tables.json"
python benchmarks/serving.py --repeats 1 --seconds 1 --repository "$work/repository"
