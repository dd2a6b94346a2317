"""Write the simulated default table, data/raw/housing.csv, the same bytes for the same options."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, help="number of block groups (default: 12000, as in the committed table)")
    parser.add_argument("--seed", type=int, help="random seed (default: 1990, as for the committed table)")
    parser.add_argument(
        "--output", type=Path, default=Path("data/raw/housing.csv"), help="CSV file to write (default: %(default)s)"
    )
    return parser


def main() -> None:
    """Parse the command line and write the table."""
    parser = build_parser()
    arguments = parser.parse_args()
    if arguments.rows is not None and arguments.rows < 1:
        parser.error("--rows must be 1 or more")
    from pipeline.datasets.simulated_housing import NOISE, ROWS, SEED, best_rmse, simulate
    from pipeline.support.files import atomic_write

    rows = ROWS if arguments.rows is None else arguments.rows
    simulated = simulate(rows, SEED if arguments.seed is None else arguments.seed)
    with atomic_write(arguments.output) as temporary:
        simulated.table.to_csv(temporary, index=False)
    print(f"{arguments.output}: {len(simulated.table):,} simulated block groups")
    print(f"best reachable RMSE: {best_rmse(simulated.price):,.0f} dollars (noise {NOISE:,.0f}, reduced by the cap)")


if __name__ == "__main__":
    run_script(main)
