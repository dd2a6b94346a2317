"""Measure stage prepare on a table of ten million rows and twelve columns, relative to another commit.

The table is one Parquet file with row groups of 500,000 rows.
"""

import sys
import tempfile
from pathlib import Path

import yaml
from harness import Numbers, alternate, arguments, clone_commit, environment, in_child, median, show, timed, write

GROUP_ROWS = 500_000
N_COLUMNS = 12
KEYS = ("seconds", "cpu", "mb")


def main() -> None:
    """Run the benchmark and print the results."""
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--rows", type=int, default=10_000_000, metavar="N", help="rows of the table")
    parser.add_argument("--against", metavar="COMMIT", help="also run the stage of this commit")
    options = parser.parse_args()
    commits = {"ours": "HEAD"} | ({"against": options.against} if options.against else {})
    with tempfile.TemporaryDirectory() as name:
        table = Path(name) / "housing.parquet"
        in_child(write_table, table, options.rows, N_COLUMNS)
        clones = {side: clone_commit(commit, Path(name) / side) for side, commit in commits.items()}
        for folder in clones.values():
            set_table(folder, table)
        sides = {side: lambda _, folder=folder: prepare(folder) for side, folder in clones.items()}
        results = alternate(sides, options.repeats)
    numbers = {f"{side}_{key}": median(runs, key) for side, runs in results.items() for key in KEYS}
    rows = [[commits[side], *(numbers[f"{side}_{key}"] for key in KEYS)] for side in results]
    if options.against:
        numbers |= {f"{key}_ratio": numbers[f"ours_{key}"] / numbers[f"against_{key}"] for key in KEYS}
        rows.append(["ratio", *(numbers[f"{key}_ratio"] for key in KEYS)])
    title = f"prepare, {options.rows:,} rows x {N_COLUMNS} columns, medians of {options.repeats}"
    show(title, ["commit", "seconds", "CPU seconds", "peak MB"], rows)
    write(options.json, numbers)


def write_table(path: Path, n_rows: int, n_columns: int) -> Numbers:
    """Write simulated rows, with numeric columns added, in row groups."""
    import numpy as np
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    from pipeline.datasets.simulated_housing import simulate

    writer: ParquetWriter | None = None
    for number, start in enumerate(range(0, n_rows, GROUP_ROWS)):
        rows = simulate(min(GROUP_ROWS, n_rows - start), seed=number).table
        rng = np.random.default_rng(number)
        added = n_columns - rows.shape[1]
        rows = rows.assign(**{f"added_{column}": rng.normal(size=len(rows)) for column in range(added)})
        group = pa.Table.from_pandas(rows, preserve_index=False)
        writer = writer or ParquetWriter(path, group.schema)
        writer.write_table(group, row_group_size=GROUP_ROWS)
    assert writer is not None
    writer.close()
    return {}


def set_table(folder: Path, table: Path) -> None:
    """Name the table in the params.yaml of a clone."""
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["dataset"]["path"] = str(table)
    path.write_text(yaml.safe_dump(params))


def prepare(folder: Path) -> Numbers:
    """Run stage prepare in a clone."""
    return timed(folder, [sys.executable, "src/prepare.py"], environment())


if __name__ == "__main__":
    main()
